/* What systemd hands to a service and hears from it (sd_listen_fds(3), sd_notify(3)): two small
 * protocols of environment variables, so that no library is needed for them. */
#ifndef SVI_MAIN_SYSTEMD_H
#define SVI_MAIN_SYSTEMD_H

#include "main/main_listen.h"

/* Takes the sockets that systemd has opened for this process (socket activation) in place of those that
 * the configuration names: FileDescriptorName= "c2s" or, for TLS from the first byte, "c2s-direct-tls";
 * other names are c2s. Removes the variables, so that no child sees them. SV_ENOTFOUND if there are
 * none; SV_EINVAL with text if one does not listen for streams, SV_ELIMIT for too many. */
sv_status svi_systemd_sockets(svi_sockets *sockets_out, sv_err *err);

/* Tells systemd a state, such as "READY=1" or "STOPPING=1"; does nothing if nobody listens. */
void svi_systemd_tell(const char *state);

#endif
