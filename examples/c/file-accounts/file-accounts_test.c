/* Tests of file-accounts: who can log in, and what becomes of it when the file changes. */
#include <stave/stage.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_BYTES = 64 };
/* The password is "pencil" (RFC 7677 3). */
#define KEYS                                                                                       \
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"    \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    sv_check(file != NULL);
    sv_check(fputs(text, file) >= 0);
    sv_check(fclose(file) == 0);
}

/* A file with these accounts, which the module follows; the caller removes it. */
static void accounts_are(sv_stage *stage, const char *text, char path[PATH_BYTES])
{
    char line[PATH_BYTES + 32];
    (void)snprintf(path, PATH_BYTES, "/tmp/file-accounts-XXXXXX");
    const int fd = mkstemp(path);
    sv_check(fd >= 0 && close(fd) == 0);
    write_file(path, text);
    (void)snprintf(line, sizeof line, "file_accounts_file = \"%s\"", path);
    sv_stage_config(stage, line);
}

static void who_may_log_in(sv_stage *stage)
{
    char path[PATH_BYTES];
    accounts_are(stage, "# Verona\nromeo:" KEYS "\ntybalt:*\n", path);
    sv_stage_run(stage, "client romeo romeo@localhost/orchard pencil\n"
                        "client guess romeo@localhost/other pen\n"
                        "romeo connects\n"
                        "guess can't connect\n"
                        "romeo sends <message to='romeo@localhost/orchard' id='1'><body>x</body></message>\n"
                        "romeo receives <message id='1'/>\n");
    sv_check(remove(path) == 0);
}

static void a_change_counts(sv_stage *stage)
{
    char path[PATH_BYTES];
    accounts_are(stage, "romeo:" KEYS "\n", path);
    sv_stage_run(stage, "client romeo romeo@localhost/orchard pencil\nromeo connects\n");
    write_file(path, "juliet:" KEYS "\n");
    sv_stage_pass_ms(stage, 20000);
    sv_stage_run(stage, "client juliet juliet@localhost/balcony pencil\njuliet connects\nromeo leaves\nromeo can't connect\n");
    write_file(path, "romeo:" KEYS "\nnurse\n"); /* the second line is wrong: nothing changes */
    sv_stage_pass_ms(stage, 20000);
    sv_check(sv_stage_log_has(stage, "file-accounts-refused line=2 reason=\"a line is"));
    sv_stage_run(stage, "juliet leaves\njuliet connects\nromeo can't connect\n");
    write_file(path, "romeo:*\n");
    sv_stage_pass_ms(stage, 20000);
    sv_stage_run(stage, "juliet leaves\njuliet can't connect\nromeo can't connect\n");
    sv_check(remove(path) == 0);
}

static void a_wrong_file_at_the_start(sv_stage *stage)
{
    char path[PATH_BYTES];
    accounts_are(stage, "romeo:" KEYS "\nRomeo:" KEYS "\n", path);
    sv_stage_run(stage, "server can't start\n    file-accounts\n");
    sv_check(sv_stage_log_has(stage, "file-accounts-refused line=2 reason=\"names are written in small letters\""));
    sv_check(remove(path) == 0);
}

SV_STAGE_TESTS({"who may log in", who_may_log_in}, {"a change counts", a_change_counts},
               {"a wrong file at the start", a_wrong_file_at_the_start})
