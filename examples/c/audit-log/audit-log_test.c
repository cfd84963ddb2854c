/* Tests of audit-log: what is in its file, and what is when that is moved away or grows. */
#include <stave/stage.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 65536, PATH_BYTES = 200 };
#define BEGIN "client romeo romeo@localhost/orchard\nclient juliet juliet@localhost/balcony\nromeo connects\n"
#define SAYS "romeo sends <message to='juliet@localhost' type='chat'><body>secret</body></message>\nromeo receives nothing\n"

typedef struct files {
    char folder[PATH_BYTES], file[PATH_BYTES + 8], older[PATH_BYTES + 16], text[TEXT_BYTES];
} files;

/* A folder of its own, where the module writes. */
static files files_of(sv_stage *stage)
{
    files f = {.folder = "/tmp/audit-log-XXXXXX"};
    char line[PATH_BYTES + 64];
    sv_check(mkdtemp(f.folder) != NULL);
    (void)snprintf(f.file, sizeof f.file, "%s/audit", f.folder);
    (void)snprintf(f.older, sizeof f.older, "%s.1", f.file);
    (void)snprintf(line, sizeof line, "audit_log_file = \"%s\"", f.file);
    sv_stage_config(stage, line);
    return f;
}

static const char *text_of(files *f, const char *path)
{
    FILE *file = fopen(path, "r");
    const size_t n = file ? fread(f->text, 1, sizeof f->text - 1, file) : 0;
    f->text[n] = '\0';
    if (file) (void)fclose(file);
    return f->text;
}

/* When nothing is left to be written. */
static void files_end(sv_stage *stage, const files *f)
{
    sv_stage_run(stage, "romeo leaves\n");
    sv_stage_pass_ms(stage, 1000);
    (void)remove(f->file);
    (void)remove(f->older);
    sv_check(rmdir(f->folder) == 0);
}

static void who_did_what(sv_stage *stage)
{
    files f = files_of(stage);
    sv_stage_run(stage, BEGIN SAYS);
    const char *text = text_of(&f, f.file);
    sv_check(strstr(text, "\"event\":\"login\",\"who\":\"romeo@localhost/orchard\"}\n"));
    sv_check(strstr(text, "\"event\":\"message\",\"who\":\"romeo@localhost/orchard\",\"to\":\"juliet@localhost\",\"kind\":\"chat\"}\n"));
    sv_check(!strstr(text, "secret"));
    sv_check(strstr(text, "\"event\":\"account-added\",\"who\":\"juliet@localhost\"}\n"));
    sv_check(sv_stage_metric(stage, "audit_log_lines") == 4);
    sv_check(sv_stage_metric(stage, "audit_log_failing") == 0);
    files_end(stage, &f);
}

static void moved_away(sv_stage *stage)
{
    files f = files_of(stage);
    sv_stage_run(stage, BEGIN);
    sv_check(rename(f.file, f.older) == 0);
    sv_stage_run(stage, SAYS);
    sv_check(strstr(text_of(&f, f.file), "message") && !strstr(f.text, "login"));
    sv_check(strstr(text_of(&f, f.older), "login"));
    files_end(stage, &f);
}

static void grown(sv_stage *stage)
{
    files f = files_of(stage);
    sv_stage_config(stage, "audit_log_rotate = 100");
    sv_stage_config(stage, "audit_log_keep = 1");
    sv_stage_run(stage, BEGIN SAYS SAYS);
    sv_check(strstr(text_of(&f, f.file), "message"));
    sv_check(strstr(text_of(&f, f.older), "message") && !strstr(f.text, "login"));
    files_end(stage, &f);
}

static void without_messages(sv_stage *stage)
{
    files f = files_of(stage);
    sv_stage_config(stage, "audit_log_messages = false");
    sv_stage_config(stage, "audit_log_sync = true");
    sv_stage_run(stage, BEGIN SAYS);
    sv_check(strstr(text_of(&f, f.file), "login") && !strstr(f.text, "message"));
    files_end(stage, &f);
}

/* As many lines as may wait; those that find no room are counted. */
static void full(sv_stage *stage)
{
    sv_stage_config(stage, "audit_log_file = \"/dev/full\"");
    sv_stage_config(stage, "audit_log_queue = \"4k\"");
    sv_stage_run(stage, BEGIN); /* two accounts, a login */
    sv_check(sv_stage_metric(stage, "audit_log_failing") == 1);
    for (int i = 0; i < 100; i++) sv_stage_run(stage, SAYS);
    sv_check(sv_stage_metric(stage, "audit_log_lost") > 0);
    sv_check(sv_stage_metric(stage, "audit_log_lost") + sv_stage_metric(stage, "audit_log_lines") == 103);
}

SV_STAGE_TESTS({"who did what", who_did_what}, {"moved away", moved_away}, {"grown", grown},
               {"without messages", without_messages}, {"full", full})
