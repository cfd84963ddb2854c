/* What the files of the module share. */
#ifndef CARBONS_H
#define CARBONS_H

#include <stave/archive.h>

#define NS_CARBONS "urn:xmpp:carbons:2"
#define NS_CLIENT "jabber:client"
#define NS_SID "urn:xmpp:sid:0"

/* The item of a session that has carbons on; its value is "1". */
#define CARBONS_ITEM "carbons"

#define CARBONS_REMEMBERED 32u /* messages, by session */

/* Messages that a session knows of, to tell which errors are about one of them: hashes in a ring. */
typedef struct carbons_known {
    uint64_t hashes[CARBONS_REMEMBERED]; /* 0: none */
    uint32_t next;
} carbons_known;

typedef struct carbons {
    sv_mod *mod;
    const sv_archive_api *archive; /* NULL: the server has none */
} carbons;

/* On which side of the event the module stands. */
typedef enum carbons_side {
    CARBONS_SENT,    /* the sender's */
    CARBONS_RECEIVED /* the recipient's */
} carbons_side;

/* What becomes of a message as far as carbons go (XEP-0280 6.1). */
typedef enum carbons_worth {
    CARBONS_NEVER,   /* not copied */
    CARBONS_ALWAYS,  /* copied */
    CARBONS_IF_KNOWN /* an error: copied to those who know of the message that it is about */
} carbons_worth;

/* Says whether the event's message, seen from that side, is one that carbons are made of. */
carbons_worth carbons_worth_of(const sv_event *ev, carbons_side side);

/* True if the event's message is one that a call is made with (XEP-0353), as the module `message` knows them. */
bool carbons_is_of_call(const sv_event *ev);

#endif
