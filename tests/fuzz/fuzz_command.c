/* Fuzzes what is read of requests and of declarations that came as JSON: what is accepted is within its bounds, reads the
 * same again, and what is refused is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mods/mods_command.h"

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "fuzz_command.c:%d: does not hold: %s\n", __LINE__, #e);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { ACCOUNT, TEXT, LOCAL, ADDRESS, HOST, NUMBER, PERIOD, WORD, FLAG, ARGS };

static const sv_arg args[] = {
    [ACCOUNT] = {.name = "account", .kind = SV_ARG_ACCOUNT, .manual = "m"},
    [TEXT] = {.name = "text", .kind = SV_ARG_STRING, .manual = "m"},
    [LOCAL] = {.name = "local", .kind = SV_ARG_LOCAL, .flags = SV_ARG_OPTION, .manual = "m"},
    [ADDRESS] = {.name = "any", .kind = SV_ARG_ADDRESS, .flags = SV_ARG_OPTION, .manual = "m"},
    [HOST] = {.name = "host", .kind = SV_ARG_HOST, .flags = SV_ARG_OPTION, .manual = "m"},
    [NUMBER] = {.name = "n", .kind = SV_ARG_INT, .flags = SV_ARG_OPTION, .min = "-7", .max = "70", .manual = "m"},
    [PERIOD] = {.name = "time", .kind = SV_ARG_PERIOD, .flags = SV_ARG_OPTION, .min = "2s", .max = "1d", .manual = "m"},
    [WORD] = {.name = "word", .kind = SV_ARG_WORD, .flags = SV_ARG_OPTION, .preset = "b", .min = "a b", .manual = "m"},
    [FLAG] = {.name = "flag", .kind = SV_ARG_FLAG, .manual = "m"},
    [ARGS] = {.name = NULL},
};
static const sv_command command = {.name = "fuzz it", .summary = "s", .args = args};

static void check_values(const svi_args *a)
{
    const svi_arg_value *v = a->values;
    if (v[NUMBER].text.p) MUST(v[NUMBER].number >= -7 && v[NUMBER].number <= 70);
    if (v[PERIOD].text.p) MUST(v[PERIOD].number >= 2000 && v[PERIOD].number <= 86400000);
    MUST(v[WORD].number == 0 || v[WORD].number == 1);
    MUST(v[FLAG].number == 0 || v[FLAG].number == 1);
    for (size_t i = 0; i < ARGS; i++) {
        MUST(svi_utf8_valid(v[i].text));
        if (v[i].text.p) MUST(v[i].text.p[v[i].text.n] == '\0');
    }
    for (size_t i = 0; i < v[TEXT].text.n; i++) MUST((unsigned char)v[TEXT].text.p[i] >= 0x20);
    if (v[ACCOUNT].text.p) {
        MUST(v[ACCOUNT].jid.node.n > 0 && v[ACCOUNT].jid.resource.n == 0);
        MUST(sv_str_eq(a->account.bare, v[ACCOUNT].jid.bare));
    }
    if (v[LOCAL].text.p) MUST(v[LOCAL].jid.node.n > 0);
    MUST(a->host == NULL); /* there is no server */
}

/* Prepared texts stay as they are. */
static void check_again(svi_arena *arena, const svi_args *before)
{
    json_t *request = json_object();
    for (size_t i = 0; i < ARGS; i++)
        if (before->values[i].text.p)
            (void)json_object_set_new(request, args[i].name,
                                      json_stringn(before->values[i].text.p, before->values[i].text.n));
    svi_args again;
    sv_err err = {.text = ""};
    MUST(svi_args_read(arena, &command, request, NULL, &again, &err) == 0);
    for (size_t i = 0; i < ARGS; i++) {
        MUST(sv_str_eq(again.values[i].text, before->values[i].text));
        MUST(again.values[i].number == before->values[i].number);
    }
    json_decref(request);
}

static void try_request(svi_arena *arena, const json_t *request)
{
    svi_args read;
    sv_err err = {.text = ""};
    const sv_fault fault = svi_args_read(arena, &command, request, NULL, &read, &err);
    MUST((fault == 0) == (err.text[0] == '\0'));
    if (fault) {
        MUST(fault == SV_FAULT_USAGE && strncmp(err.text, "fuzz it: ", 9) == 0);
        return;
    }
    check_values(&read);
    check_again(arena, &read);
}

static void try_declaration(svi_arena *arena, const json_t *json)
{
    sv_command read, again;
    if (!svi_command_read(arena, json, &read)) return;
    MUST(svi_command_check(&read, NULL) == SV_OK);
    json_t *one = svi_command_json(&read);
    MUST(one != NULL && svi_command_read(arena, one, &again));
    json_t *two = svi_command_json(&again);
    MUST(json_equal(one, two));
    json_decref(one);
    json_decref(two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    svi_acct acct = {.name = "fuzz"};
    json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) { /* as the control socket has it */
        json_decref(json);
        return 0;
    }
    svi_arena *arena = svi_arena_new(&acct, 1024);
    try_request(arena, json);
    try_declaration(arena, json);
    svi_arena_free(&arena);
    json_decref(json);
    return 0;
}
