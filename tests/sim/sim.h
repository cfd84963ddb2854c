/* The simulation: 144 accounts on three hosts, three devices each, do by seed what clients do, on the stage, while the operator, the
 * network, the disk and kills do by the same seed what they do; a model says what must hold (doc/testing.md). One thread.
 *
 * All that happens is a sequence of numbered actions. Each has dice of its own, made of the seed and its number, so that a run
 * without some of them is the same otherwise. */
#ifndef SIM_H
#define SIM_H

#include "stage/stage.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_removal.h"
#include "xmpp/xmpp_session.h"

#define ACCOUNTS 144u /* REACH of them on each host in turn */
#define HOSTS 3u
#define DEVICES 3u
#define CLIENTS (ACCOUNTS * DEVICES)
#define REACH 4u               /* an account knows this many on either side of it in the ring */
#define NEIGHBOURS (2u * REACH)
#define OWN NEIGHBOURS         /* the slot of an account's own devices */
#define SLOTS (NEIGHBOURS + 1u)
#define QUESTIONS 64u          /* of a session, unanswered */
#define GHOSTS 16u             /* half-open connections at once */
#define PRIVATES 3u            /* elements that an account stores */
#define WRITES 24u             /* of a value between two quiet points */
#define NOTICES 64u            /* announcements in a run */
#define COMPLAINTS 40

typedef struct sim sim;

/* What runs do, and hold against the model: with --counts a run fails if one of these was never met. Of what is held only that counts which could have been otherwise: a subscription that is there, a message that had to come. */
#define COUNTED(X)                                                                                                          \
    X(DID_CONNECT, "a device connects")                                                                                     \
    X(DID_MESSAGE, "a message is sent")                                                                                     \
    X(DID_AVAILABLE, "a device is available")                                                                               \
    X(DID_UNAVAILABLE, "a device is unavailable")                                                                           \
    X(DID_SUBSCRIPTION, "a subscription stanza is sent")                                                                    \
    X(DID_ROSTER, "an item of a roster is set")                                                                             \
    X(DID_DIRECTED, "directed presence is sent")                                                                            \
    X(DID_PROBE, "a probe is sent")                                                                                         \
    X(DID_IQ, "a request is sent")                                                                                          \
    X(DID_PRIVATE, "a private element is set or asked for")                                                                 \
    X(DID_BLOCK, "a block is set or taken away")                                                                            \
    X(DID_BLOCK_LIST, "the list of blocks is asked for")                                                                    \
    X(DID_VANISH, "a device vanishes")                                                                                      \
    X(DID_LEAVE, "a device leaves")                                                                                         \
    X(DID_DEAF, "a device reads no more, or again")                                                                         \
    X(DID_KICK, "a session is kicked")                                                                                      \
    X(DID_CUT, "a connection is lost")                                                                                      \
    X(DID_HAUNT, "a device falls silent")                                                                                   \
    X(DID_KILL, "the server is killed")                                                                                     \
    X(DID_RESTART, "the server is stopped and started")                                                                     \
    X(DID_RELOAD, "a module is loaded anew")                                                                                \
    X(DID_RECONFIGURE, "a configuration is taken over")                                                                     \
    X(DID_ACCOUNT_MADE, "an account is made")                                                                               \
    X(DID_ACCOUNT_DELETED, "an account is deleted")                                                                         \
    X(DID_ACCOUNT_DISABLED, "an account is disabled")                                                                       \
    X(DID_ACCOUNT_ENABLED, "an account is enabled")                                                                         \
    X(DID_HOST_GOES, "a host goes")                                                                                         \
    X(DID_HOST_COMES, "a host comes")                                                                                       \
    X(DID_ANNOUNCE, "a text is announced")                                                                                  \
    X(DID_MOTD, "the message of the day is set or cleared")                                                                 \
    X(DID_NETWORK, "the network changes")                                                                                   \
    X(DID_DISK, "the disk changes")                                                                                         \
    X(DID_FAIL_READ, "a read is to fail")                                                                                   \
    X(DID_FILL_DISK, "the disk is full, or has room")                                                                       \
    X(HELD_ANSWER, "a request was answered, once")                                                                          \
    X(HELD_SUBSCRIPTION, "a subscription is in both rosters")                                                               \
    X(HELD_REQUEST, "a subscription request is on both sides")                                                              \
    X(HELD_SEEN, "who is available is seen by whom it is due")                                                              \
    X(HELD_UNSEEN, "who is available is not seen by whom it is not due")                                                    \
    X(HELD_TOLD, "a device has the roster's item that is stored")                                                           \
    X(HELD_NAME, "the name of an item that was set")                                                                        \
    X(HELD_BLOCK, "a block that was set")                                                                                   \
    X(HELD_PRIVATE, "a private element that was set")                                                                       \
    X(HELD_SET_BEHIND_KILL, "a set that was answered in the round of a kill")                                               \
    X(HELD_CAME, "a message came to a device that was there all the time")                                                  \
    X(HELD_STORED, "a message that is stored is stored once, and was not returned")                                         \
    X(HELD_RECEIVED, "a message was received in the end, or returned")                                                      \
    X(HELD_KEPT, "a message that was kept before a kill was received")                                                      \
    X(HELD_NOTICE, "an announcement came")                                                                                  \
    X(HELD_NOTICE_ONCE, "an announcement came once")                                                                        \
    X(HELD_DELETED, "an account that was deleted is not there")                                                             \
    X(HELD_MADE, "an account that was made is there")                                                                       \
    X(HELD_DISABLED, "nobody is logged in to an account that is disabled or deleted")                                                           \
    X(HELD_LEDGER, "the ledger balances, nothing is in flight")                                                             \
    X(HELD_KILL_MEMORY, "a server that was killed has left no memory")                                                      \
    X(HELD_END_MEMORY, "a server that was stopped has left no memory")                                                      \
    X(HELD_EMPTY, "of deleted accounts nothing is stored")                                                                  \
    X(HELD_LIFE_MEMORY, "the second life has left no more memory than the first")

typedef enum counted {
#define X(name, text) name,
    COUNTED(X)
#undef X
    COUNTED_ALL
} counted;

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

/* --- values that clients set (sim_values.c) ---------------------------------------------------------- */

/* A set of a value: when it was sent, and when its result came (0: it has not). Moments count up. */
typedef struct value_set {
    uint32_t value, sent, answered;
} value_set;

/* Something stored that clients set, and the sets since it was last read at a quiet point. */
typedef struct value {
    uint32_t stored;
    uint8_t count;
    value_set sets[WRITES];
} value;

typedef enum value_kind {
    VALUE_NAME,   /* of a contact in the roster; 0: there is no item, or it has no name */
    VALUE_BLOCK,  /* 1: the contact is blocked */
    VALUE_PRIVATE /* the number in a private element; 0: never stored */
} value_kind;

/* --- what there is ------------------------------------------------------------------------------------ */

/* What a session asked and nobody has answered yet. */
typedef struct question {
    uint32_t number;  /* 0: free */
    int to_account;   /* a session that may end before it answers, or -1 */
    uint32_t ends;    /* of that account when it was asked */
    uint32_t mark;    /* the newest message that was sent before it */
    uint32_t message; /* it goes the same way as this one, and behind it: its answer says that it is stored; 0: none */
    uint32_t connects; /* of the message's recipient when that was sent */
    value *value;     /* that it sets, NULL: none */
    uint8_t set;      /* which of its sets */
    bool is_roster, clears; /* asks for the roster; stands behind an own unavailable presence */
} question;

typedef struct client {
    sim *t;
    unsigned account, device;
    svi_link *link; /* NULL while off line */
    svi_parser *parser;
    svi_buf out;
    phase_of_stream phase;
    char nonce[24];
    uint64_t dice; /* of the action that connected it */
    bool renew, deaf, kicked, at_end, drains, gives_up;
    bool is_haunted; /* it has gone, and the server may not know */
    uint32_t first_question; /* of this session; answers to earlier ones may still come to its address */
    uint32_t session;    /* counts its sessions */
    uint32_t bound_in;   /* the round in which its session began */
    uint32_t changed_in; /* the round in which availability or priority changed last */
    bool available, ever_took; /* ever_took: has had a priority of 0 or more */
    bool is_doubtful; /* since a read failed: what it was not told it will not be told */
    int priority;
    bool interested;
    uint32_t unconfirmed; /* its newest message that the server may not have read; a list by `next` */
    question questions[QUESTIONS];
    uint8_t moods[SLOTS];        /* how often it was asked for a subscription */
    bool seen[SLOTS][DEVICES];   /* who it believes to be available */
    bool told[SLOTS][DEVICES];   /* while it waits for an answer that clears that */
    bool unsure[SLOTS][DEVICES]; /* told before such an answer, which waits for commits: whether it was available by then, and is told the end, is not known */
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
    bool survived; /* it was kept when the server was killed */
    bool kept;    /* it is stored for an account that nobody was logged in to: no kill may lose it */
    bool excused; /* it may be lost */
    uint32_t stored_in; /* the round at whose end it lay in the store last */
    uint8_t got[DEVICES];
    uint32_t got_session[DEVICES];
} message;

typedef struct person {
    uint32_t ends;     /* sessions that ended */
    uint32_t ended_in; /* the round in which one did so last */
    uint32_t late_in;  /* the round in which the server heard late of an end last: what it had written until then is nobody's */
    uint32_t connects; /* connections that were begun */
    uint32_t life;     /* counts how often the account was made */
    bool exists, is_leaving; /* as the operator has it: is_leaving: from the command to the quiet point behind it */
    bool is_disabled; /* or may be: until the operator was told that it is enabled */
    uint32_t changes;  /* of the account by the operator, that were begun */
    enum { UNSURE, SURELY_THERE, SURELY_GONE, SURELY_DISABLED } is; /* what the operator was told of the last of them */
    uint32_t is_since; /* `connects` when that was told */
    uint32_t barred_in; /* the round in which it was one of these last */
    uint8_t flags[NEIGHBOURS]; /* of the roster, as stored; read at a quiet point */
    uint32_t asked_in[NEIGHBOURS]; /* the round of the last subscription stanza or roster set about the contact */
    uint32_t blocked_in[NEIGHBOURS]; /* the round in which a block stood or may have stood last */
    bool is_loose[NEIGHBOURS]; /* one side may not know of the other's state: its host or account was gone, or it was blocked */
    value names[NEIGHBOURS], blocks[NEIGHBOURS], privates[PRIVATES];
    uint8_t notices[DEVICES][NOTICES]; /* how often each came */
    uint32_t lossy_notices; /* those before may not have come */
} person;

/* A text for all accounts of a host. */
typedef struct notice {
    unsigned host;
    bool is_answered, is_repeated, is_lossy; /* the operator was told that it has begun; a page may have come a second time; or not at all */
    uint32_t round;
    uint8_t lives[ACCOUNTS]; /* of the accounts when it began, modulo 256 */
} notice;

/* A half-open connection: the client has gone, the server is not told. */
typedef struct ghost {
    client *c; /* NULL: free */
    uint32_t session;
    svi_link *link;
} ghost;

struct sim {
    svi_acct core, peers; /* the server with its modules / disk, links and clients */
    svi_stage *stage;
    svi_map *rosters[HOSTS], *requests[HOSTS], *kept[HOSTS], *blocked[HOSTS], *elements[HOSTS];
    svi_map *archived[HOSTS], *bodies[HOSTS];
    bool cold; /* the store keeps no rows that nobody uses: reads wait */
    bool tells; /* prints what each action does */
    bool stops; /* plays no more after the first complaint */
    bool is_last_round; /* of a life: the server does not end */
    bool has_faults; /* kills, operators, network and disk */
    const char *module_dir;
    svi_limits limits;
    const uint32_t *only; /* in order: no other actions are done; NULL: all */
    size_t only_count;
    uint8_t *done;    /* a bit for each action that did something, of `done_max`; may be NULL */
    size_t done_max;
    uint64_t seed, dice, hash;
    uint64_t received; /* stanzas that clients got */
    uint32_t action, round, moment, question_count;
    unsigned linked; /* clients that have a connection */
    client clients[CLIENTS];
    person accounts[ACCOUNTS];
    ghost ghosts[GHOSTS];
    message *messages; /* number 0 is none */
    uint32_t message_count, message_room;
    uint32_t checked_messages; /* up to this one they were looked at, and are done with */
    notice notices[NOTICES];
    uint32_t notice_count, checked_notices;
    bool is_gone[HOSTS];          /* hosts that are not served */
    uint32_t gone_in[HOSTS];      /* the round in which one was not served last */
    uint32_t renewed_in;          /* the round in which modules were loaded anew last */
    uint32_t short_in, failed_in; /* rounds in which the disk was full, in which a read failed */
    uint32_t configured, taken_over; /* which configuration it is, modulo 2; how often one was taken over */
    svi_stage_host served[2][HOSTS];
    uint32_t killed_in, kills, starts; /* killed_in: the round of the last kill; the others count */
    uint8_t client_key[32], stored_key[32];
    svi_scram_keys keys;
    int watch; /* this account's traffic is shown; -1: none */
    int complaints;
    uint64_t *counts; /* COUNTED_ALL of them */
    const char *first_complaint; /* its format */
    char *outcome_complaint;     /* where that is noted, 200 bytes */
};

/* --- sim.c ------------------------------------------------------------------------------------------- */

/* A number below `sides`, from the dice of the action that is under way. */
uint32_t roll(sim *t, uint32_t sides);
/* The same from other dice. */
uint32_t roll_of(uint64_t *dice, uint32_t sides);
/* Dice of the seed, a number and what they are for. */
uint64_t dice_for(const sim *t, uint64_t number, uint64_t purpose);
/* Notes that something is not as it must be. */
void complain(sim *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Notes what the action does: an action that does something says so. */
void tell(sim *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Something counted was done, or held. */
void met(sim *t, counted what);

/* --- sim_shrink.c ------------------------------------------------------------------------------------ */

/* True if a run with these actions alone fails in the way that is looked into. */
typedef bool (*shrink_try)(void *ctx, const uint32_t *actions, size_t count);
/* Leaves out of `actions` whatever it can so that `fails` stays true, for `seconds` at most; returns how many remain. */
size_t shrink(uint32_t *actions, size_t count, shrink_try fails, void *ctx, int64_t seconds);

/* --- sim_world.c ------------------------------------------------------------------------------------- */

/* Starts server and accounts; false with svi_stage_problem. */
bool world_start(sim *t);
void world_stop(sim *t);
/* The server is killed, or ended in order, and started again on what is stored. */
void world_restart(sim *t, bool is_kill);
/* Until nothing can happen without the clock / but for the server's timers: what the network and the disk owe comes, too. */
void settle(sim *t);
void world_rest(sim *t);
/* Takes the configuration over as the simulation has it now, with all that is under way. */
void world_reconfigure(sim *t);
/* The first of the two configurations runs from now on. */
void world_usual(sim *t);
/* Loads a module anew in the midst of what is under way. */
void world_reload(sim *t, sv_str module);
/* Loads all scripts anew: how much of a state is garbage depends on when it was collected last. */
void world_renew_scripts(sim *t);
/* A host is served no more / again. */
void world_host_changes(sim *t, unsigned host, bool is_gone);
/* A few turns, with what waits for the disk done in part. */
void stir(sim *t, uint64_t *dice);
void pass_time(sim *t, int64_t us);
/* Lets the network, the disk and hosts be as they are at rest, and comes to rest. */
void world_calm(sim *t);
/* Takes accounts away with all that is theirs. */
void world_delete_accounts(sim *t);
bool world_make_accounts(sim *t);
/* No account is disabled any more. */
void world_enable_accounts(sim *t);
/* Rows of an account; the caller's reference, NULL with a complaint. */
svi_rows *world_rows(sim *t, svi_map *map, sv_str owner);
/* Owners that a map has, 1000 at most. */
size_t world_owners(sim *t, svi_map *map);
svi_host *world_host(const sim *t, unsigned host);
svi_server *server_of(const sim *t);

/* --- sim_client.c ------------------------------------------------------------------------------------ */

void client_connect(client *c);
/* Ends the connection without a word; what the server wrote until now is read before. */
void client_vanish(client *c);
/* The connection is lost: what was on the way is, too. */
void client_cut(client *c);
/* The client goes, and the server is not told. */
void client_haunt(client *c);
void client_leave(client *c);
/* Reads and writes what there is now; true if anything moved. */
bool client_pump(client *c);
void client_free(client *c);
/* A connection whose client has gone ends at last. */
void ghost_end(ghost *g);
void say(client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The account's localpart, host and domain, its neighbour in a slot, the slot of a neighbour (or OWN, or -1). */
const char *name_of(unsigned account, char text[16]);
unsigned host_of(unsigned account);
const char *domain_of(unsigned account);
const char *domain_of_host(unsigned host);
unsigned neighbour(unsigned account, unsigned slot);
int slot_of(unsigned account, unsigned other);
unsigned number_of(const client *c);

/* --- sim_acts.c, sim_faults.c ------------------------------------------------------------------------ */

/* One action: a client near the account `hot`, or one of those below. */
void act(sim *t, uint32_t hot);
/* What the operator, the network, the disk and kills do. */
void act_fault(sim *t);

/* --- sim_model.c, sim_messages.c --------------------------------------------------------------------- */

/* Asks; `to_account` is that of a session that is asked by name, or -1. NULL: too many wait. */
question *ask(client *c, int to_account);
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
/* A message came, or came back. */
void model_got_message(client *c, const sv_node *root);
/* Messages for the account that nobody has may be lost. */
void model_excuse(sim *t, unsigned account);
/* Nobody is logged in to the account, nor may be for all that the server knows. */
bool model_is_absent(const sim *t, unsigned account);
/* Pages of announcements may come a second time: those that are under way; when the server is killed, what was kept of them. */
void model_notices_repeat(sim *t, bool is_kill);
/* ... may be lost. */
void model_notices_lossy(sim *t);
/* The server was killed: what it had in memory is gone. */
void model_killed(sim *t);
/* The two may have other states of their subscription from now on, if either has one that changes now. */
void model_loosen(sim *t, unsigned account, unsigned slot);
/* What is under way between the two may reach one side only. */
void model_parts(sim *t, unsigned account, unsigned slot);
/* A host goes or comes; an account is made, or deleted. */
void model_host_changes(sim *t, unsigned host);
void model_account_comes(sim *t, unsigned account);
void model_account_goes(sim *t, unsigned account);
/* True if the server may refuse what one account sends the other, in this round. */
bool model_may_refuse(const sim *t, unsigned account, unsigned other);
/* The answer to a question behind a message came. */
void model_is_kept(sim *t, const question *q);
/* What must hold when nothing moves. */
void model_check_quiet(sim *t);
/* Messages of the round, at a quiet point. */
void model_check_round(sim *t);
/* ... and when every account has read what was kept for it. */
void model_check_messages(sim *t);

/* --- sim_values.c ------------------------------------------------------------------------------------ */

/* The question sets the value; false: too many sets of it are not known. */
bool value_is_set(question *q, value *v, uint32_t to, sim *t);
/* The answer came; only a result says that it was done. */
void value_answered(const question *q, bool is_result, sim *t);
/* The number behind `head` in a text; 0: there is none. */
uint32_t number_behind(sv_str text, const char *head);
/* The account's values go, and nothing is known of them until they are read. */
void values_forget(person *a);
/* Holds what is stored against the sets, and begins anew with it. */
void values_check(sim *t);

#endif
