/* Between supervisor and worker: a pair of sockets that keeps messages whole; descriptors go along
 * (unix(7)). */
#ifndef SVI_MAIN_CHANNEL_H
#define SVI_MAIN_CHANNEL_H

#include "base/base_str.h"

typedef enum svi_channel_what {
    SVI_CHANNEL_READY = 'R',    /* worker: it serves */
    SVI_CHANNEL_REOPEN = 'L',   /* worker: open the log's file again; supervisor: there it is */
    SVI_CHANNEL_REOPENED = 'H', /* supervisor: the log's file, which nobody asked for (a signal did) */
    SVI_CHANNEL_FAILED = 'F',   /* supervisor: why the log's file could not be opened again */
    SVI_CHANNEL_RELEASED = 'Q', /* worker: the module of that name is in quarantine no more */
    SVI_CHANNEL_UPGRADE = 'U',  /* worker: `stave upgrade`; supervisor: the new binary, of that version, is going to take over */
    SVI_CHANNEL_STAY = 'S'      /* supervisor: why it is not */
} svi_channel_what;

typedef struct svi_channel_message {
    svi_channel_what what;
    int fd; /* -1: none came along */
    char text[240];
} svi_channel_message;

/* Two ends, close-on-exec, that never wait. SV_EIO. */
sv_status svi_channel_open(int ends_out[2], sv_err *err);

/* Sends a message; `fd` (-1: none) and `text` (may be NULL) are borrowed, too long a text is cut.
 * False if it could not be sent. */
bool svi_channel_send(int channel, svi_channel_what what, int fd, const char *text);

/* Takes the next message. SV_ENOTFOUND: none is there now; SV_ECLOSED: the other side is gone. */
sv_status svi_channel_receive(int channel, svi_channel_message *message_out);

#endif
