/* Fuzzes addresses: what is accepted must be prepared (a second time changes nothing), whole and
 * within its lengths, and its parts must be prepared alone as well. */
#include <stdio.h>
#include <stdlib.h>

#include "xmpp/xmpp_jid.h"
#include "xmpp/xmpp_precis.h"

static svi_acct acct = {.name = "fuzz"};

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "fuzz_jid.c:%d: does not hold: %s\n", __LINE__, #e);                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef sv_status (*prep)(svi_arena *arena, sv_str text, sv_str *out);

static void part(svi_arena *arena, sv_str text, prep prepare)
{
    sv_str again;
    if (text.n == 0) return;
    MUST(text.n <= SVI_JID_PART_MAX && svi_utf8_valid(text));
    MUST(prepare(arena, text, &again) == SV_OK);
    MUST(sv_str_eq(again, text));
    for (size_t i = 0; i < text.n; i++) MUST((unsigned char)text.p[i] >= 0x20 && text.p[i] != 0x7f);
}

static void whole(svi_arena *arena, sv_str text)
{
    sv_jid jid, again;
    if (svi_jid_parse(arena, text, &jid)) return;
    MUST(jid.domain.n > 0);
    part(arena, jid.node, svi_jid_prep_node);
    part(arena, jid.domain, svi_jid_prep_domain);
    part(arena, jid.resource, svi_jid_prep_resource);
    for (size_t i = 0; i < jid.node.n; i++) MUST(!memchr("\"&'/:<>@ ", jid.node.p[i], 9));
    MUST(!memchr(jid.domain.p, '@', jid.domain.n) && !memchr(jid.domain.p, '/', jid.domain.n));
    MUST(svi_jid_parse(arena, jid.full, &again) == SV_OK);
    MUST(sv_str_eq(again.full, jid.full) && sv_str_eq(again.bare, jid.bare));
    MUST(sv_str_eq(svi_jid_make(arena, jid.node, jid.domain, jid.resource).full, jid.full));
}

static void password(svi_arena *arena, sv_str text)
{
    sv_str once, twice;
    if (svi_precis_opaque(arena, text, &once)) return;
    MUST(once.n > 0 && svi_utf8_valid(once));
    MUST(svi_precis_opaque(arena, once, &twice) == SV_OK && sv_str_eq(once, twice));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* a copy of the exact size, so that reading behind it is seen */
    char *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    const sv_str text = {copy, size};
    svi_arena *arena = svi_arena_new(&acct, 0);
    whole(arena, text);
    password(arena, text);
    svi_arena_free(&arena);
    free(copy);
    MUST(atomic_load(&acct.live_bytes) == 0);
    return 0;
}
