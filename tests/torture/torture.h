/* Torture: 200 accounts on two hosts, three devices each, do by seed what clients do, with the real core and modules on a
 * virtual clock; a model says what each of them must have seen (doc/testing.md). One thread. */
#ifndef TORTURE_H
#define TORTURE_H

#include "base/base_plat.h"
#include "mods/mods_loader.h"
#include "store/store_engine.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_removal.h"
#include "xmpp/xmpp_session.h"

#define ACCOUNTS 200u
#define DEVICES 3u
#define CLIENTS (ACCOUNTS * DEVICES)
#define REACH 4u               /* an account knows this many on either side of it in the ring */
#define NEIGHBOURS (2u * REACH)
#define OWN NEIGHBOURS         /* the slot of an account's own devices */
#define SLOTS (NEIGHBOURS + 1u)
#define QUESTIONS 64u          /* of a session, unanswered */
#define COMPLAINTS 40

typedef struct torture torture;

typedef enum phase_of_stream {
    OFF,
    HEADER,   /* waits for the first features */
    AUTH,     /* for the challenge */
    PROOF,    /* for success */
    HEADER_2, /* for the second features */
    BINDING,
    BOUND,
    LEAVING /* said </stream:stream> */
} phase_of_stream;

/* What a session asked and nobody has answered yet. */
typedef struct question {
    uint32_t number;  /* 0: free */
    int to_account;   /* a session that may end before it answers, or -1 */
    uint32_t ends;    /* of that account when it was asked */
    uint32_t mark;    /* the newest message that was sent before it */
    bool is_roster, clears; /* asks for the roster; stands behind an own unavailable presence */
} question;

typedef struct client {
    torture *t;
    unsigned account, device;
    svi_link *link; /* NULL while off line */
    svi_parser *parser;
    svi_buf out;
    phase_of_stream phase;
    char nonce[24];
    bool renew, deaf, kicked, at_end, drains;
    uint32_t first_question; /* of this session; answers to earlier ones may still come to its address */
    uint32_t session;    /* counts its sessions */
    uint32_t changed_in; /* the round in which availability or priority changed last */
    bool available, ever_took; /* ever_took: has had a priority of 0 or more */
    int priority;
    bool interested;
    uint32_t unconfirmed; /* its newest message that the server may not have read; a list by `next` */
    question questions[QUESTIONS];
    bool seen[SLOTS][DEVICES];   /* who it believes to be available */
    uint8_t roster[NEIGHBOURS];  /* what it was told of its roster: bits of <stave/roster.h> */
    bool directed[NEIGHBOURS];   /* to whom this session sent presence */
    bool muted[NEIGHBOURS];      /* to whom it sent unavailable presence since its last broadcast */
} client;

typedef struct message {
    uint32_t next;
    uint16_t from, to_account; /* client, account */
    int16_t to_device;         /* -1: the bare address */
    uint32_t session, round;
    char type; /* c(hat), n(ormal), h(eadline) */
    bool confirmed, error;
    uint8_t got[DEVICES];
    uint32_t got_session[DEVICES];
} message;

typedef struct person {
    uint32_t ends;     /* sessions that ended */
    uint32_t ended_in; /* the round in which one did so last */
    uint8_t flags[NEIGHBOURS]; /* of the roster, as stored; read at a quiet point */
} person;

struct torture {
    svi_acct core, disk_memory, peers; /* the server with its modules / the disk / links and clients */
    svi_plat_virtual plat;
    svi_sim_disk *disk;
    svi_engine *engine;
    svi_link_pairs *pairs;
    svi_server *server;
    svi_listener *listener;
    svi_config *config;
    svi_mods *mods;
    svi_map *rosters[2], *requests[2], *messages_kept[2];
    bool cold; /* the store keeps no rows that nobody uses: reads wait */
    const char *module_dir;
    uint64_t seed, dice, hash;
    uint64_t received; /* stanzas that clients got */
    uint32_t round, question_count;
    client clients[CLIENTS];
    person accounts[ACCOUNTS];
    message *messages; /* number 0 is none */
    uint32_t message_count, message_room;
    uint8_t client_key[32], stored_key[32];
    svi_scram_keys keys;
    int watch; /* this account's traffic is shown; -1: none */
    int complaints;
    char problem[300];
};

/* A number below `sides`, by seed. */
uint32_t roll(torture *t, uint32_t sides);
/* Notes that something is not as it must be. */
void complain(torture *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- torture_world.c --- */

/* Starts server and accounts; false with t->problem. */
bool world_start(torture *t);
void world_stop(torture *t);
/* Until nothing can happen without the clock. */
void settle(torture *t);
/* A few turns, with what waits for the disk done in part. */
void stir(torture *t);
void pass_time(torture *t, int64_t us);
/* Takes accounts away with all that is theirs. */
void world_delete_accounts(torture *t);
bool world_make_accounts(torture *t);
/* Rows of an account; the caller's reference, NULL with a complaint. */
svi_rows *world_rows(torture *t, svi_map *map, sv_str owner);
/* Owners that a map has, 1000 at most. */
size_t world_owners(torture *t, svi_map *map);

/* --- torture_client.c --- */

void client_connect(client *c);
/* Ends the connection without a word; what the server wrote until now is read before. */
void client_vanish(client *c);
void client_leave(client *c);
/* Reads and writes what there is now; true if anything moved. */
bool client_pump(client *c);
void client_free(client *c);
void say(client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The account's localpart and domain, its neighbour in a slot, the slot of a neighbour (or OWN, or -1). */
const char *name_of(unsigned account, char text[16]);
const char *domain_of(unsigned account);
unsigned neighbour(unsigned account, unsigned slot);
int slot_of(unsigned account, unsigned other);

/* --- torture_model.c --- */

/* Asks; `to_account` is that of a session that is asked by name, or -1. 0: too many wait. */
uint32_t ask(client *c, int to_account, bool is_roster, bool clears);
void model_bound(client *c);
void model_stanza(client *c, const sv_node *root);
/* The session is over. */
void model_ended(client *c);
/* What the client sent until now has been read. */
void model_confirm(client *c, uint32_t up_to);
void model_available(client *c, int priority);
void model_unavailable(client *c);
void model_ask_roster(client *c);
uint32_t model_message(client *c, unsigned to_account, int to_device, char type);
/* What must hold when nothing moves. */
void model_check_quiet(torture *t);
/* ... and when every account has read what was kept for it. */
void model_check_messages(torture *t);

#endif
