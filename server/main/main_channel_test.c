/* Messages between supervisor and worker: whole, with a descriptor, never waited for. */
#include "main/main_channel.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base_testing.h"

static void test_messages(void **state)
{
    (void)state;
    int ends[2], files[2];
    sv_err err = {.text = ""};
    svi_channel_message m;
    assert_int_equal(svi_channel_open(ends, &err), SV_OK);
    assert_int_equal(svi_channel_receive(ends[0], &m), SV_ENOTFOUND);
    assert_true(svi_channel_send(ends[1], SVI_CHANNEL_READY, -1, NULL));
    assert_true(svi_channel_send(ends[1], SVI_CHANNEL_FAILED, -1, "the reason"));
    assert_int_equal(svi_channel_receive(ends[0], &m), SV_OK);
    assert_int_equal(m.what, SVI_CHANNEL_READY);
    assert_int_equal(m.fd, -1);
    assert_string_equal(m.text, "");
    assert_int_equal(svi_channel_receive(ends[0], &m), SV_OK);
    assert_int_equal(m.what, SVI_CHANNEL_FAILED);
    assert_string_equal(m.text, "the reason");

    assert_int_equal(pipe(files), 0);
    assert_true(svi_channel_send(ends[0], SVI_CHANNEL_REOPEN, files[1], NULL));
    assert_int_equal(svi_channel_receive(ends[1], &m), SV_OK);
    assert_true(m.fd >= 0 && m.fd != files[1]);
    assert_int_equal(fcntl(m.fd, F_GETFD), FD_CLOEXEC);
    char byte = 0;
    assert_int_equal(write(m.fd, "x", 1), 1);
    assert_int_equal(read(files[0], &byte, 1), 1);
    (void)close(m.fd), (void)close(files[0]), (void)close(files[1]);

    char lengthy[1000];
    memset(lengthy, 'y', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    assert_true(svi_channel_send(ends[0], SVI_CHANNEL_FAILED, -1, lengthy));
    assert_int_equal(svi_channel_receive(ends[1], &m), SV_OK);
    assert_int_equal(strlen(m.text), sizeof m.text - 1);

    size_t sent = 0; /* nobody reads: it says so instead of waiting */
    while (sent < 100000 && svi_channel_send(ends[0], SVI_CHANNEL_READY, -1, NULL)) sent++;
    assert_true(sent > 0 && sent < 100000);
    (void)close(ends[0]);
    while (svi_channel_receive(ends[1], &m) == SV_OK) continue;
    assert_int_equal(svi_channel_receive(ends[1], &m), SV_ECLOSED);
    assert_false(svi_channel_send(ends[1], SVI_CHANNEL_READY, -1, NULL));
    (void)close(ends[1]);
}

/* The lowest free one. */
static int next_descriptor(void)
{
    const int fd = dup(STDIN_FILENO);
    (void)close(fd);
    return fd;
}

/* A worker that sends two at once leaves none behind in the supervisor. */
static void test_more_than_one_descriptor(void **state)
{
    (void)state;
    int ends[2], two[] = {STDIN_FILENO, STDOUT_FILENO};
    sv_err err = {.text = ""};
    svi_channel_message m;
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof two)];
    } extra = {.room = ""};
    struct iovec part = {.iov_base = (char[]){SVI_CHANNEL_REOPEN}, .iov_len = 1};
    const struct msghdr message = {.msg_iov = &part,
                                   .msg_iovlen = 1,
                                   .msg_control = extra.room,
                                   .msg_controllen = sizeof extra.room};
    extra.head = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof two)};
    memcpy(CMSG_DATA(&extra.head), two, sizeof two);
    assert_int_equal(svi_channel_open(ends, &err), SV_OK);
    const int before = next_descriptor();
    assert_int_equal(sendmsg(ends[1], &message, 0), 1);
    assert_int_equal(svi_channel_receive(ends[0], &m), SV_OK);
    assert_int_equal(m.what, SVI_CHANNEL_REOPEN);
    assert_int_equal(m.fd, before);
    assert_int_equal(next_descriptor(), before + 1);
    (void)close(m.fd);
    (void)close(ends[0]), (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages),
                                       cmocka_unit_test(test_more_than_one_descriptor)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
