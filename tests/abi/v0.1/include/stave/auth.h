/* Accounts that a back end keeps: a module declares here how it is asked (sv->auth_register, in its
 * start). Without one the host's accounts are the server's own.
 *
 * What a module is asked it answers once for each question, at once or later, by sv->auth_done; for
 * keys by sv->auth_give_keys. It has ten seconds; whoever logs in is then told to try again later,
 * and the late answer counts for nothing, but must come all the same. Names are prepared (RFC 8265)
 * and, like passwords, borrowed until the answer. Whatever fails is temporary for who logs in: only
 * SV_ENOTFOUND and SV_EDENIED tell of the account. What the server itself stores for an account
 * (roster, messages, whether an operator has disabled it) stays with the server. */
#ifndef STAVE_AUTH_H
#define STAVE_AUTH_H

#include <stave/types.h>

/* One question. Lives until it is answered, at the latest until the module's stop() has returned. After a reload
 * that took the module away, or gave it other options, the answer counts for nothing. */
typedef struct sv_auth_ask sv_auth_ask;

/* What a back end knows of a SCRAM password (RFC 5802 3); all borrowed for the call. */
typedef struct sv_auth_keys {
    uint32_t size; /* of this struct */
    uint32_t iterations;
    sv_str salt;                   /* 1 to 32 bytes */
    sv_str stored_key, server_key; /* as long as the hash's output */
} sv_auth_keys;

/* A back end. Members may be NULL unless said otherwise: then it can't do that. */
typedef struct sv_auth {
    uint32_t size; /* of this struct */
    /* What all or most keys have, which those that are made up for unknown names then have, too
     * (0: 10000, 16; a salt of at most 20 bytes). */
    uint32_t iterations, salt_bytes;
    /* SCRAM mechanisms that it has keys for, separated by blanks ("SCRAM-SHA-256 SCRAM-SHA-1"); NULL
     * or empty: none, and `check` is required. The host offers these; PLAIN if there is `check` or
     * SCRAM-SHA-256 is among them. */
    const char *mechanisms;
    /* Required. Whether there is such an account: SV_OK, SV_ENOTFOUND, or SV_EDENIED if it may not log
     * in. Asked at each login, and for each stanza to an account that is not on line. */
    void (*find)(sv_auth_ask *ask, sv_str name, void *self);
    /* Its keys for a mechanism: auth_give_keys, or auth_done with SV_ENOTFOUND. */
    void (*keys)(sv_auth_ask *ask, sv_str name, sv_str mechanism, void *self);
    /* Whether that is its password, as the client has sent it: SV_OK, SV_EDENIED, SV_ENOTFOUND (who
     * logs in hears the same of both). It should take as long for a name that it does not know. */
    void (*check)(sv_auth_ask *ask, sv_str name, sv_str password, void *self);
    /* By an operator: makes an account (`is_new`: SV_EEXIST if it is there) or changes its password
     * (SV_ENOTFOUND). */
    void (*set)(sv_auth_ask *ask, sv_str name, sv_str password, bool is_new, void *self);
    /* By an operator: deletes the account; SV_ENOTFOUND counts as done. */
    void (*remove)(sv_auth_ask *ask, sv_str name, void *self);
    /* Up to `max` names behind `after` (empty: from the first) in order of bytes, each by
     * auth_give_name, then auth_done. */
    void (*list)(sv_auth_ask *ask, sv_str after, size_t max, void *self);
} sv_auth;

#endif
