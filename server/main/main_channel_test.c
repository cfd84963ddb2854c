/* Messages between supervisor and worker: whole, with a descriptor, never waited for. */
#include "main/main_channel.h"

#include <fcntl.h>
#include <string.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
