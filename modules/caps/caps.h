/* What the files of the module share. */
#ifndef CAPS_H
#define CAPS_H

#include <stave/caps.h>
#include <stave/disco.h>

#define NS_CAPS "http://jabber.org/protocol/caps" /* XEP-0115 */
#define NS_CAPS2 "urn:xmpp:caps"                  /* XEP-0390 */
#define NS_HASHES "urn:xmpp:hashes:2"
#define NODE_CAPS2 "urn:xmpp:caps#" /* XEP-0390 4.3 */

enum {
    CAPS_KEY_BYTES = 160,  /* the longest owner of an info: "/390:blake2b-512:" and 88 digits are 105 */
    CAPS_QUESTIONS = 128,  /* clients of a host that are asked or wait for another one's answer */
    CAPS_SETS = 3,         /* XEP-0390 6.1: how many of our own hash sets we answer for */
    CAPS_NODES = 3,        /* of one: XEP-0115 with SHA-1, XEP-0390 with SHA-256 and SHA3-256 */
    CAPS_URI_BYTES = 100   /* of the option caps_node */
};

/* A hash as a presence shows it. */
typedef struct caps_claim {
    sv_str key;      /* owner of its info */
    sv_str function; /* "sha-1" */
    sv_str digest;   /* base64 */
    sv_str node;     /* to ask for */
    bool is_new;     /* XEP-0390 */
    bool is_checked; /* by a function that we have */
} caps_claim;

/* A client that is asked, or waits until another one of the same claim has answered. */
typedef struct caps_question {
    const sv_stanza *iq; /* to the session; NULL: free */
    int64_t since_ms;    /* when it was sent */
    bool is_sent;
    char key[CAPS_KEY_BYTES];
} caps_question;

/* What the host said of itself at some time. */
typedef struct caps_self {
    const sv_stanza *info; /* the <query/>; NULL: none */
    char nodes[CAPS_NODES][CAPS_KEY_BYTES];
} caps_self;

typedef struct caps {
    sv_mod *mod;
    sv_store *infos; /* <stave/caps.h> */
    sv_store *index; /* "/" -> owner of an info -> day of its last use, its bytes */
    sv_store *own;   /* "/" -> time -> nodes and <query/> of the host */
    sv_str node;     /* option */
    int64_t entries, bytes, info_bytes, age_ms, answer_ms, questions_per_hour;
    caps_question questions[CAPS_QUESTIONS];
    caps_self self[CAPS_SETS]; /* the newest first */
    int64_t newest_ms;         /* key of its row: they keep their order if the clock is set back */
} caps;

/* --- caps_info.c: an info and what is hashed of it ----------------------------------------- */

typedef struct caps_info {
    bool is_well_formed; /* XEP-0115 5.4 rules 3.3 to 3.5 */
    bool is_plain;       /* no other info has the same `old` (see caps_info.c) */
    bool is_strict;      /* XEP-0390 4.1 has no error for it */
    sv_str old;          /* XEP-0115 5.1: S */
    sv_str now;          /* XEP-0390 4.1, with languages that stand at identities */
    sv_str implied;      /* the same with inherited ones (the general remarks there) */
} caps_info;

/* Reads a <query/> in the stanza whose root is `iq` (may be the query itself). */
void caps_info_read(sv_event *ev, const sv_node *iq, const sv_node *query, caps_info *info_out);

/* The record of an info that fits the claim; empty if it does not, or can't be told from others of the same
 * hash, or the hash is by an unknown function. */
sv_str caps_info_verified(sv_event *ev, const caps_info *info, const caps_claim *claim);

/* The record, whether or not it fits. */
sv_str caps_info_record(sv_event *ev, const caps_info *info);

/* --- caps_cache.c: infos that were verified ------------------------------------------------ */

/* True if the rows of the index are in memory (they are read in the event if not). */
bool caps_cache_is_at_hand(sv_event *ev, const caps *me);
/* Keeps a record for everybody; others go if there are too many, they are too large, or too old. */
void caps_cache_put(sv_event *ev, const caps *me, sv_str key, sv_str record);
/* Notes that the info is used; `rows` are its own. At most one write a day. */
void caps_cache_touch(sv_event *ev, const caps *me, sv_str key, const sv_rows *rows);

/* --- caps_clients.c: what sessions show, and asking them ----------------------------------- */

sv_verdict caps_on_presence(sv_event *ev, void *self);
sv_verdict caps_on_answer(sv_event *ev, void *self);
sv_verdict caps_on_gone(sv_event *ev, void *self);
sv_verdict caps_on_timer(sv_event *ev, void *self);
/* Lets go of everything; before the module ends. */
void caps_clients_stop(caps *me);

/* --- caps_own.c: what the host shows ------------------------------------------------------- */

sv_verdict caps_on_ready(sv_event *ev, void *self);
sv_verdict caps_on_told(sv_event *ev, void *self);
sv_verdict caps_on_query(sv_event *ev, void *self);
/* Lets go of everything; before the module ends. */
void caps_own_stop(caps *me);

#endif
