/* Messages between supervisor and worker. */
#include "main/main_channel.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

typedef union control {
    struct cmsghdr head; /* for its alignment */
    char room[CMSG_SPACE(sizeof(int))];
} control;

sv_status svi_channel_open(int ends_out[2], sv_err *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends_out) == 0)
        return SV_OK;
    return svi_err(err, SV_EIO, "socketpair: %s", strerror(errno));
}

bool svi_channel_send(int channel, svi_channel_what what, int fd, const char *text)
{
    char bytes[sizeof((svi_channel_message *)0)->text + 1];
    const int n = snprintf(bytes, sizeof bytes, "%c%s", (char)what, text ? text : "");
    control extra = {.room = ""};
    struct iovec part = {.iov_base = bytes,
                         .iov_len = (size_t)n < sizeof bytes ? (size_t)n : sizeof bytes - 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = extra.room;
        message.msg_controllen = sizeof extra.room;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(head), &fd, sizeof fd);
    }
    return sendmsg(channel, &message, MSG_NOSIGNAL) > 0;
}

sv_status svi_channel_receive(int channel, svi_channel_message *message_out)
{
    control extra = {.room = ""};
    char bytes[sizeof message_out->text];
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof bytes};
    /* room for one and no more: a second one, which nobody would close, fits into what is only there
     * for the alignment */
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = extra.room,
                             .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t n;
    do {
        n = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) return SV_ENOTFOUND;
    if (n <= 0) return SV_ECLOSED;
    *message_out = (svi_channel_message){.what = (svi_channel_what)bytes[0], .fd = -1};
    memcpy(message_out->text, bytes + 1, (size_t)n - 1);
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
        memcpy(&message_out->fd, CMSG_DATA(head), sizeof message_out->fd);
    return SV_OK;
}
