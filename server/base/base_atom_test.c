/* Atoms: numbers that stay over extensions, old tables that stay valid, readers beside a writer. */
#include "base/base_atom.h"

#include <pthread.h>
#include <stdio.h>

#include "base/base_testing.h"

static svi_acct acct = {.name = "test"};

static int nothing_left(void **state)
{
    (void)state;
    return acct.live_count == 0 && acct.live_bytes == 0 ? 0 : -1;
}

static void empty_table(void **state)
{
    (void)state;
    svi_atoms *atoms = svi_atoms_extend(&acct, NULL, NULL, 0);
    assert_int_equal(svi_atoms_count(atoms), 0);
    assert_int_equal(svi_atoms_find(atoms, SV_STR("body")), 0);
    assert_int_equal(svi_atoms_find(atoms, SV_STR_NONE), 0);
    assert_text(svi_atoms_text(atoms, 0), "");
    assert_text(svi_atoms_text(atoms, 1), "");
    assert_text(svi_atoms_text(atoms, UINT32_MAX), "");
    svi_atoms_free(&atoms);
    assert_null(atoms);
    svi_atoms_free(&atoms);
}

static void doubles_and_empty_names(void **state)
{
    (void)state;
    const sv_str names[] = {SV_STR_INIT("body"), SV_STR_INIT(""), SV_STR_INIT("message"),
                            SV_STR_INIT("body")};
    svi_atoms *atoms = svi_atoms_extend(&acct, NULL, names, 4);
    assert_int_equal(svi_atoms_count(atoms), 2);
    const sv_atom body = svi_atoms_find(atoms, SV_STR("body"));
    assert_true(body != 0);
    assert_text(svi_atoms_text(atoms, body), "body");
    assert_int_equal(svi_atoms_find(atoms, SV_STR("")), 0);
    assert_int_equal(svi_atoms_find(atoms, SV_STR("bod")), 0);
    assert_int_equal(svi_atoms_find(atoms, SV_STR("Body")), 0);
    assert_int_equal(svi_atoms_find(atoms, SV_STR("messages")), 0);
    assert_ptr_equal(svi_atoms_extend(&acct, atoms, names, 4), atoms);
    svi_atoms_free(&atoms);
}

static void names_are_copied(void **state)
{
    (void)state;
    char name[] = "urn:xmpp:ping";
    const sv_str one = {name, sizeof name - 1};
    svi_atoms *atoms = svi_atoms_extend(&acct, NULL, &one, 1);
    memset(name, 'x', sizeof name - 1);
    assert_int_equal(svi_atoms_find(atoms, SV_STR("urn:xmpp:ping")), 1);
    assert_text(svi_atoms_text(atoms, 1), "urn:xmpp:ping");
    svi_atoms_free(&atoms);
}

static sv_str numbered(char to[64], size_t number)
{
    /* names that differ in the middle, at the end and in length only */
    const int n =
        snprintf(to, 64, "urn:%zu:%.*s", number, (int)(number % 20), "aaaaaaaaaaaaaaaaaaaa");
    return (sv_str){to, (size_t)n};
}

static void extensions_keep_numbers(void **state)
{
    (void)state;
    enum { ROUNDS = 40, EACH = 50 };
    svi_atoms *tables[ROUNDS], *newest = NULL;
    for (size_t r = 0; r < ROUNDS; r++) {
        char space[EACH][64];
        sv_str names[EACH];
        for (size_t i = 0; i < EACH; i++) names[i] = numbered(space[i], r * EACH + i);
        newest = tables[r] = svi_atoms_extend(&acct, newest, names, EACH);
    }
    for (size_t r = 0; r < ROUNDS; r++) {
        assert_int_equal(svi_atoms_count(tables[r]), (r + 1) * EACH);
        for (size_t i = 0; i < ROUNDS * EACH; i++) {
            char space[64];
            const sv_str name = numbered(space, i);
            const bool known = i < (r + 1) * EACH;
            assert_int_equal(svi_atoms_find(tables[r], name), known ? i + 1 : 0);
            if (known) assert_true(sv_str_eq(svi_atoms_text(tables[r], (sv_atom)i + 1), name));
        }
    }
    svi_atoms_free(&newest);
}

/* What a reader thread is given; it takes the newest table as the I/O threads will. */
typedef struct shared {
    _Atomic(svi_atoms *) newest;
    atomic_bool ends;
    atomic_size_t wrong;
} shared;

static void *reader(void *arg)
{
    shared *s = arg;
    while (!atomic_load(&s->ends)) {
        const svi_atoms *atoms = atomic_load_explicit(&s->newest, memory_order_acquire);
        for (size_t i = 0; i < svi_atoms_count(atoms); i++) {
            char space[64];
            if (svi_atoms_find(atoms, numbered(space, i)) != i + 1) atomic_fetch_add(&s->wrong, 1);
        }
    }
    return NULL;
}

static void readers_need_no_lock(void **state)
{
    (void)state;
    char space[64];
    const sv_str first = numbered(space, 0);
    shared s = {.ends = false};
    atomic_store(&s.newest, svi_atoms_extend(&acct, NULL, &first, 1));
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, reader, &s), 0);
    for (size_t i = 1; i < 200; i++) {
        const sv_str name = numbered(space, i);
        svi_atoms *next = svi_atoms_extend(&acct, atomic_load(&s.newest), &name, 1);
        atomic_store_explicit(&s.newest, next, memory_order_release);
    }
    atomic_store(&s.ends, true);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&s.wrong), 0);
    svi_atoms *newest = atomic_load(&s.newest);
    svi_atoms_free(&newest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(empty_table, nothing_left),
        cmocka_unit_test_teardown(doubles_and_empty_names, nothing_left),
        cmocka_unit_test_teardown(names_are_copied, nothing_left),
        cmocka_unit_test_teardown(extensions_keep_numbers, nothing_left),
        cmocka_unit_test_teardown(readers_need_no_lock, nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
