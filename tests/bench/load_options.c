/* What the generator's programs share: their options, and meeting points with the program that runs them. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { SILENCE_MS = 20000 };

static unsigned number(const char *word, const char *text)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);
    if (*text == 0 || *end != 0 || value > 100000000) load_die("%s: not a number", word);
    return (unsigned)value;
}

static void read_word(load_options *o, const char *word)
{
    const struct {
        const char *name;
        unsigned *number;
        const char **text;
    } known[] = {{"port=", &o->port, NULL},       {"pid=", &o->pid, NULL},
                 {"count=", &o->count, NULL},     {"flight=", &o->flight, NULL},
                 {"users=", &o->users, NULL},     {"parallel=", &o->parallel, NULL},
                 {"warm_ms=", &o->warm_ms, NULL}, {"run_ms=", &o->run_ms, NULL},
                 {"domain=", NULL, &o->domain},   {"password=", NULL, &o->password}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const size_t n = strlen(known[i].name);
        if (strncmp(word, known[i].name, n) != 0) continue;
        if (known[i].number)
            *known[i].number = number(word, word + n);
        else
            *known[i].text = word + n;
        return;
    }
    load_die("%s: unknown word", word);
}

load_options load_options_read(int argc, char **argv)
{
    load_options o = {.count = 200,
                      .flight = 4,
                      .parallel = 50,
                      .warm_ms = 500,
                      .run_ms = 3000,
                      .domain = "localhost",
                      .password = "bench"};
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            o.command = &argv[i + 1];
            break;
        }
        read_word(&o, argv[i]);
    }
    if (o.users == 0) o.users = o.count;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return o;
}

load_user load_user_of(const load_options *o, unsigned i)
{
    load_user user;
    (void)snprintf(user.name, sizeof user.name, "user%06u", i % o->users);
    (void)snprintf(user.password, sizeof user.password, "%s", o->password);
    return user;
}

void load_wait(load *l, const char *what)
{
    if (load_poll(l, SILENCE_MS) == 0) load_die("%s: nothing happened for 20 s", what);
}

void load_rendezvous(const char *word)
{
    char line[64];
    printf("%s\n", word);
    (void)fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) load_die("nobody listens any more");
}
