/* Ticket keys over time: made, kept, rotated with an overlap, damaged. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_testing.h"
#include "main/main_tickets.h"

static svi_acct books = {.name = "test"};
static svi_plat_virtual v;
static svi_tickets *tickets;
static char dir[64], file[96];

static int set_up(void **state)
{
    (void)state;
    char secrets[80];
    (void)snprintf(dir, sizeof dir, "/tmp/stave-tickets.XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    (void)snprintf(secrets, sizeof secrets, "%s/secrets", dir);
    (void)snprintf(file, sizeof file, "%s/tickets", secrets);
    svi_plat_virtual_init(&v, 3);
    tickets = svi_tickets_new(&books);
    return mkdir(secrets, 0700);
}

static int tear_down(void **state)
{
    (void)state;
    char secrets[80];
    (void)snprintf(secrets, sizeof secrets, "%s/secrets", dir);
    svi_tickets_free(&tickets);
    (void)unlink(file);
    (void)rmdir(secrets);
    return rmdir(dir) == 0 && atomic_load(&books.live_bytes) == 0 ? 0 : -1;
}

static int64_t turn_in(int64_t s)
{
    sv_err err;
    svi_plat_virtual_advance(&v, s * 1000000);
    const int64_t due_s = svi_tickets_turn(dir, &v.plat, tickets, &err);
    assert_int_equal(err.code, SV_OK);
    return due_s;
}

static void read_text(char to[2048])
{
    memset(to, 0, 2048);
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, to, 2047) >= 0);
    (void)close(fd);
}

static void write_text(const char *text)
{
    const int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static size_t lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

/* Architecture 11: secrets survive restarts and rotate with an overlap, in a file of mode 0600. */
static void keys_rotate_with_an_overlap(void **state)
{
    (void)state;
    char first[2048], now[2048];
    struct stat st;
    assert_int_equal(turn_in(0), SVI_TICKET_ROTATE_S);
    read_text(first);
    assert_int_equal(lines(first), 1);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(turn_in(3600), SVI_TICKET_ROTATE_S - 3600); /* a restart: nothing changes */
    read_text(now);
    assert_string_equal(now, first);
    assert_int_equal(turn_in(SVI_TICKET_ROTATE_S - 3600), SVI_TICKET_ROTATE_S);
    read_text(now);
    assert_int_equal(lines(now), 2);
    assert_string_equal(strchr(now, '\n') + 1, first); /* the newest stands first */
    (void)turn_in(SVI_TICKET_ROTATE_S);
    read_text(now);
    assert_int_equal(lines(now), 3);
    (void)turn_in(SVI_TICKET_ROTATE_S); /* the first one is too old now */
    read_text(now);
    assert_int_equal(lines(now), 3);
    assert_null(strstr(now, first));
}

/* Whatever stands there: whole lines are used, the rest is no reason not to serve. */
static void damage_costs_a_handshake(void **state)
{
    (void)state;
    char whole[2048], text[4096], now[2048];
    (void)turn_in(0);
    read_text(whole);
    static const char *const bad[] = {"", "x", "12 34\n", "\n\n\n", "9 zz\n9 zz\n9 zz\n9 zz\n9 zz\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(text, sizeof text, "%s%s", bad[i], i == 0 ? "" : whole);
        write_text(i == 1 ? bad[1] : text);
        (void)turn_in(0);
        read_text(now);
        if (i > 1 && strstr(now, whole) == NULL) fail_msg("%zu: %s", i, now);
        if (i <= 1) {
            assert_int_equal(lines(now), 1);
            (void)snprintf(whole, sizeof whole, "%s", now);
        }
    }
}

/* A key of the future says that the clock was set back: it is not trusted for longer than it should be. */
static void a_clock_set_back_makes_a_new_key(void **state)
{
    (void)state;
    char first[2048], now[2048];
    (void)turn_in(7200);
    read_text(first);
    v.wall_base_us -= INT64_C(3600) * 1000000;
    assert_int_equal(turn_in(0), SVI_TICKET_ROTATE_S);
    read_text(now);
    assert_int_equal(lines(now), 1);
    assert_string_not_equal(now, first);
}

static void a_folder_that_is_gone_is_told(void **state)
{
    (void)state;
    sv_err err;
    assert_int_equal(svi_tickets_turn("/nowhere", &v.plat, tickets, &err), SVI_TICKET_ROTATE_S);
    assert_int_equal(err.code, SV_EIO);
    assert_non_null(strstr(err.text, "/nowhere/secrets/tickets"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_rotate_with_an_overlap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_costs_a_handshake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clock_set_back_makes_a_new_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_is_gone_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
