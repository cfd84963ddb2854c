/* What every engine must do, whatever it keeps rows in: random lives of a store on it against the model, with ends in order
 * and without. */
#ifndef SVI_STORE_CONTRACT_TEST_H
#define SVI_STORE_CONTRACT_TEST_H

#include "store/store_model_test.h"

/* The engine of the next life, on what the one before has left. */
typedef svi_engine *(*contract_make)(model *m, void *ctx);

/* Waits until an engine with threads of its own has done something. */
static inline void contract_wait(model *m)
{
    if (!m->store->engine->ops->poll) model_wait(m);
}

/* A thing that a store is used for, by chance. */
static inline void contract_turn(model *m)
{
    const uint64_t dice = rnd(m, 100);
    if (dice < 40)
        do_unit(m);
    else if (dice < 52)
        do_read(m, false);
    else if (dice < 58)
        do_cut(m, false);
    else if (dice < 61)
        do_owners(m);
    else if (dice < 68)
        do_peek(m);
    else if (dice < 90)
        svi_store_poll(m->store);
    else if (dice < 95)
        drop_held(m, (int)rnd(m, HELD));
    else if (dice < 97)
        svi_plat_virtual_advance(&m->clock, 700000);
    else
        check_held(m);
}

/* Until all is committed. */
static inline void contract_settle(model *m)
{
    while (svi_store_committed(m->store) < svi_store_submitted(m->store)) {
        contract_wait(m);
        svi_store_poll(m->store);
    }
}

/* Lives of one store; each begins with a look at all that the ones before have committed, every other one ends without
 * folding what it has. */
static inline void contract_random(uint64_t seed, contract_make make, void *ctx, int lives, int turns)
{
    model m;
    model_init(&m, seed);
    for (int life = 0; life < lives; life++) {
        model_open(&m, make(&m, ctx), 0);
        check_all(&m, contract_wait);
        for (int i = 0; i < turns; i++) contract_turn(&m);
        contract_settle(&m);
        check_held(&m);
        check_all(&m, contract_wait);
        for (int i = 0; life % 2 && i < 3; i++) do_unit(&m); /* too few to be folded */
        contract_settle(&m);
        if (life % 2)
            svi_store_drop(&m.store);
        else
            svi_store_close(&m.store);
        assert_int_equal(m.open_reads, 0);
        drop_all_held(&m);
    }
    assert_true(m.answers > turns / 10);
    assert_true(m.cuts > turns / 100);
    assert_int_equal(m.failures, 0);
    model_free(&m);
}

#endif
