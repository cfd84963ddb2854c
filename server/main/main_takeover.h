/* `stave upgrade`: another binary takes the place of the supervisor (execve(2)) and goes on with its descriptors, so that
 * listeners never close and the process keeps its number.
 *
 * It is tried as a child first: `BINARY serve --config FILE` with STAVE_TAKEOVER=check looks at the configuration as
 * `stave check` does, and ends with a line that says that it knows how to take over. What it takes over it is told in the same
 * variable, as words: this is what releases of different age have in common, so words are added only, and unknown ones are
 * passed over. Supervisor's thread. */
#ifndef SVI_MAIN_TAKEOVER_H
#define SVI_MAIN_TAKEOVER_H

#include "main/main_listen.h"

#define SVI_TAKEOVER_VARIABLE "STAVE_TAKEOVER"
#define SVI_TAKEOVER_TEXT 200u /* bytes of a reason, with its NUL */

/* What the process before has left to this one. */
typedef struct svi_takeover {
    bool is_there;       /* false: an ordinary start, and nothing else counts */
    int lock;            /* of the state folder, taken */
    int binary;          /* the one before, for svi_takeover_back; -1: an upgrade was taken back, or it could not be opened */
    svi_sockets sockets; /* taken; paths of unix sockets lie in `paths` */
    char from[32];       /* the version before */
    char failed[SVI_TAKEOVER_TEXT]; /* why an upgrade was taken back; empty: it was none */
    char paths[SVI_SOCKETS_MAX][108];
} svi_takeover;

/* Reads what this process is told and removes the variable. SV_EINVAL if it makes no sense: then nothing was taken. The struct
 * must not be moved: its sockets point into it. */
sv_status svi_takeover_read(svi_takeover *takeover_out, sv_err *err);

/* What is handed on. */
typedef struct svi_takeover_hand {
    const char *path;   /* the binary, the first word of its command line, too */
    const char *config; /* path of the configuration */
    int lock;
    const svi_sockets *sockets;
    const char *failed; /* NULL: no upgrade was taken back */
} svi_takeover_hand;

/* Executes the binary at hand->path in the place of this one. Returns only if that could not be done, SV_EIO: then all is as it was. No
 * thread that is needed afterwards may run, and no child. */
sv_status svi_takeover_exec(const svi_takeover_hand *hand, sv_err *err);

/* The same with the binary that was before this one (takeover->binary), under the name hand->path. SV_ENOTFOUND if there is none. */
sv_status svi_takeover_back(const svi_takeover *takeover, const svi_takeover_hand *hand, sv_err *err);

/* --- the trial ---------------------------------------------------------------------------------------- */

/* A binary that is tried. */
typedef struct svi_tryout {
    pid_t pid;   /* 0: none is */
    int out;     /* what it says, to be read when it is readable; -1: it has said all */
    int64_t until_ms; /* monotonic: when it is killed */
    size_t n;
    char said[2048]; /* the beginning of what it says */
    size_t tail_n;
    char tail[128];  /* the end of it */
} svi_tryout;

/* True if this process is one, which is to check the configuration and then call svi_takeover_say. */
bool svi_takeover_is_trial(void);
/* Says that this binary knows how to take over. */
void svi_takeover_say(void);

/* Begins to try the binary; `now_ms` is monotonic. SV_EIO, SV_ENOTFOUND with what to do. */
sv_status svi_tryout_begin(const char *path, const char *config, int64_t now_ms, svi_tryout *trial_out, sv_err *err);
/* It has said something, or its end of the pipe is closed. */
void svi_tryout_hear(svi_tryout *trial);
/* It takes too long. */
void svi_tryout_kill(svi_tryout *trial);
/* It has ended with that status (waitpid(2)) and is forgotten: SV_OK if the binary may take over, with its version in
 * `version_out` (32 bytes); else SV_EINVAL with what it said. */
sv_status svi_tryout_end(svi_tryout *trial, int status, char version_out[32], sv_err *err);

#endif
