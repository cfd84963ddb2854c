/* Types that the core and every module share: strings, statuses, verdicts, error conditions.
 *
 * Frozen with the ABI: values are only appended. Knows libc only. */
#ifndef STAVE_TYPES_H
#define STAVE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes with a length; never NUL-terminated by promise. `p` may be NULL only if `n` is 0. Passed by
 * value. A returned sv_str is borrowed: valid as long as what it was taken from. */
typedef struct sv_str {
    const char *p;
    size_t n;
} sv_str;

/* A string literal as sv_str, in code and (second form) in static initialisers. */
#define SV_STR(lit) ((sv_str){"" lit, sizeof(lit) - 1})
#define SV_STR_INIT(lit)                                                                           \
    {                                                                                              \
        "" lit, sizeof(lit) - 1                                                                    \
    }
#define SV_STR_NONE ((sv_str){NULL, 0})

/* Text that ends with a NUL; NULL is an empty one. */
static inline sv_str sv_str_of(const char *z)
{
    return (sv_str){z, z ? strlen(z) : 0};
}

/* True if both have the same bytes. */
static inline bool sv_str_eq(sv_str a, sv_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* generated from api/stave.lua by `make generate`: sv_status */
/* What a call that can fail for reasons of the environment returns: SV_OK or a negative value. A
 * call that returns an error has done nothing and never calls back. */
typedef enum sv_status {
    SV_OK = 0,
    SV_ENOTFOUND = -1, /* no such thing */
    SV_EEXIST = -2,    /* there is one already */
    SV_EINVAL = -3,    /* the argument's form is wrong */
    SV_ELIMIT = -4,    /* a quota or a bound would be passed */
    SV_EIO = -5,       /* a device or file failed */
    SV_ENOSPC = -6,    /* not enough disk or map; see admission in store.h */
    SV_ETIMEOUT = -7,  /* its deadline passed */
    SV_ECANCELED = -8, /* event, session or module went away first */
    SV_ECLOSED = -9,   /* the peer or the object is closed */
    SV_EDENIED = -10,  /* not allowed */
    SV_EVERSION = -11, /* made for another version */
    SV_EBUSY = -12,    /* in use by somebody else */
    SV_EAGAIN = -13    /* not now; called again later it may work */
} sv_status;
/* generated: end */

/* Text for an operator beside a status; lives on the caller's stack. */
typedef struct sv_err {
    sv_status code;
    char text[236];
} sv_err;

/* generated from api/stave.lua by `make generate`: sv_verdict */
/* What a handler says of the event it was given. */
typedef enum sv_verdict {
    SV_PASS = 0, /* the next handler */
    SV_DONE = 1, /* the pass ends; the stanza has been disposed of */
    SV_LATER = 2 /* an operation holds the event and finishes it (sv->pass, send, refuse, ...) */
} sv_verdict;
/* generated: end */

/* generated from api/stave.lua by `make generate`: sv_band */
/* Order of handlers within one hook point; inside a band the order of the config file decides. */
typedef enum sv_band {
    SV_NORMAL = 0, /* behind EARLY, before LATE */
    SV_FIRST = 1,  /* before all others */
    SV_EARLY = 2,  /* behind FIRST */
    SV_LATE = 3,   /* behind NORMAL */
    SV_MONITOR = 4 /* sees the verdict, cannot change it */
} sv_band;
/* generated: end */

/* generated from api/stave.lua by `make generate`: sv_cond */
/* Stanza error conditions (RFC 6120 8.3.3), with the error type that the RFC recommends for
 * each. */
typedef enum sv_cond {
    SV_BAD_REQUEST = 1,              /* modify */
    SV_CONFLICT = 2,                 /* cancel */
    SV_FEATURE_NOT_IMPLEMENTED = 3,  /* cancel */
    SV_FORBIDDEN = 4,                /* auth */
    SV_GONE = 5,                     /* cancel */
    SV_INTERNAL_SERVER_ERROR = 6,    /* cancel */
    SV_ITEM_NOT_FOUND = 7,           /* cancel */
    SV_JID_MALFORMED = 8,            /* modify */
    SV_NOT_ACCEPTABLE = 9,           /* modify */
    SV_NOT_ALLOWED = 10,             /* cancel */
    SV_NOT_AUTHORIZED = 11,          /* auth */
    SV_POLICY_VIOLATION = 12,        /* modify */
    SV_RECIPIENT_UNAVAILABLE = 13,   /* wait */
    SV_REDIRECT = 14,                /* modify */
    SV_REGISTRATION_REQUIRED = 15,   /* auth */
    SV_REMOTE_SERVER_NOT_FOUND = 16, /* cancel */
    SV_REMOTE_SERVER_TIMEOUT = 17,   /* wait */
    SV_RESOURCE_CONSTRAINT = 18,     /* wait */
    SV_SERVICE_UNAVAILABLE = 19,     /* cancel */
    SV_SUBSCRIPTION_REQUIRED = 20,   /* auth */
    SV_UNDEFINED_CONDITION = 21,     /* cancel */
    SV_UNEXPECTED_REQUEST = 22       /* wait */
} sv_cond;
/* generated: end */

/* generated from api/stave.lua by `make generate`: sv_level */
/* How much a line of the log matters. */
typedef enum sv_level {
    SV_ERROR = 0, /* somebody has to do something */
    SV_WARN = 1,  /* somebody may have to */
    SV_INFO = 2,  /* what happens, in normal service */
    SV_DEBUG = 3  /* what helps to find a fault */
} sv_level;
/* generated: end */

/* Number of a declared name (namespace, element, attribute); 0 is "not declared by anybody". */
typedef uint32_t sv_atom;

#endif
