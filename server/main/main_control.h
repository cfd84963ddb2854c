/* The control socket's side in the worker: lines of JSON in, lines of JSON out. Who may connect is
 * said by the socket's mode (0600). Router thread. */
#ifndef SVI_MAIN_CONTROL_H
#define SVI_MAIN_CONTROL_H

#include "main/main_command.h"
#include "main/main_follow.h"

typedef struct svi_control svi_control;

/* Serves `commands` (borrowed) on the listening socket `fd`, which is taken. An answer with "follow"
 * names one of `follows` (borrowed). SV_EIO. */
sv_status svi_control_open(svi_shard *shard, svi_commands *commands, svi_follows *follows, int fd,
                           svi_control **control_out, sv_err *err);

/* Stops serving; handles end in the loop's next rounds, answers under way are dropped, followers
 * are told. Clears the
 * pointer. */
void svi_control_close(svi_control **control);

#endif
