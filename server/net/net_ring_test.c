/* Tests of ring, mail and sleep between two threads; they are worth most under TSan. */
#include <sched.h>
#include <semaphore.h>
#include <pthread.h>
#include <unistd.h>

#include "base/base_testing.h"
#include "net/net_ring.h"

#define ITEMS 40000u

static svi_acct books = {.name = "ring-test"};

static void ring_keeps_order_and_bound(void **state)
{
    (void)state;
    svi_ring *ring = svi_ring_new(&books, 4);
    assert_false(svi_ring_publish(ring));
    for (size_t round = 0; round < 5; round++) {
        for (size_t i = 0; i < 4; i++) assert_true(svi_ring_put(ring, &(svi_ring_item){.n = i}));
        assert_false(svi_ring_put(ring, &(svi_ring_item){.n = 99}));
        assert_int_equal(svi_ring_ready(ring), 0); /* nothing is visible before it is published */
        assert_true(svi_ring_publish(ring));
        assert_int_equal(svi_ring_ready(ring), 4);
        assert_int_equal(svi_ring_at(ring, 2)->n, 2);
        svi_ring_release(ring, 1);
        assert_true(svi_ring_room(ring));
        assert_true(svi_ring_put(ring, &(svi_ring_item){.n = 4}));
        assert_int_equal(svi_ring_ready(ring), 3);
        assert_int_equal(svi_ring_at(ring, 0)->n, 1);
        svi_ring_release(ring, 3);
        assert_true(svi_ring_publish(ring));
        assert_int_equal(svi_ring_ready(ring), 1);
        assert_int_equal(svi_ring_at(ring, 0)->n, 4);
        svi_ring_release(ring, 1);
    }
    svi_ring_free(&ring);
    assert_null(ring);
}

static svi_ring *over_ring;

static void release_too_much(void *arg)
{
    (void)arg;
    svi_ring_release(over_ring, 1);
}

static void ring_refuses_to_release_what_is_not_there(void **state)
{
    (void)state;
    over_ring = svi_ring_new(&books, 4);
    assert_int_equal(svi_ring_ready(over_ring), 0);
    assert_true(aborts(release_too_much, NULL));
    svi_ring_free(&over_ring);
}

typedef struct node {
    svi_mail_link link;
    uint64_t number;
} node;

static void mail_joins_what_was_not_fetched(void **state)
{
    (void)state;
    svi_mail mail = {.newest = NULL};
    node n[5] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    assert_null(svi_mail_take(&mail));
    n[0].link.next = &n[1].link;
    svi_mail_post(&mail, &n[0].link, &n[1].link);
    svi_mail_post(&mail, &n[2].link, &n[2].link);
    n[3].link.next = &n[4].link;
    svi_mail_post(&mail, &n[3].link, &n[4].link);
    assert_true(svi_mail_has(&mail));
    uint64_t want = 0;
    for (svi_mail_link *l = svi_mail_take(&mail); l != NULL; l = l->next)
        assert_int_equal(((node *)l)->number, want++);
    assert_int_equal(want, 5);
    assert_false(svi_mail_has(&mail));
}

/* A producer and a consumer that sleep: the producer for room, the consumer for items and mail.
 * A lost wake-up makes one of them sleep for ever, which alarm() ends. */
typedef struct pair {
    svi_ring *ring;
    svi_mail mail;
    svi_sleeper producer, consumer;
    sem_t wake_producer, wake_consumer;
    node *nodes;
    uint64_t got_items, got_mail;
} pair;

static void wake_consumer(pair *p)
{
    if (svi_sleep_rouse(&p->consumer, SVI_ASLEEP)) (void)sem_post(&p->wake_consumer);
}

static void *produce(void *arg)
{
    pair *p = arg;
    size_t mailed = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        const svi_ring_item item = {.who = p, .n = i, .kind = (uint32_t)i};
        while (!svi_ring_put(p->ring, &item)) {
            (void)svi_ring_publish(p->ring);
            wake_consumer(p);
            svi_sleep_announce(&p->producer, SVI_ASLEEP_FOR_ROOM);
            if (svi_ring_room(p->ring)) {
                svi_sleep_end(&p->producer);
                /* Somebody may have seen us asleep all the same; the post only costs a turn. */
                continue;
            }
            (void)sem_wait(&p->wake_producer);
            svi_sleep_end(&p->producer);
        }
        if (i % 3 == 0) (void)svi_ring_publish(p->ring);
        if (i % 5 == 0) {
            node *n = &p->nodes[mailed];
            n->number = mailed++;
            svi_mail_post(&p->mail, &n->link, &n->link);
        }
        wake_consumer(p);
    }
    (void)svi_ring_publish(p->ring);
    wake_consumer(p);
    return NULL;
}

static void consume_mail(pair *p)
{
    for (svi_mail_link *l = svi_mail_take(&p->mail); l != NULL;) {
        const node *n = (node *)l;
        l = l->next;
        assert_int_equal(n->number, p->got_mail++);
    }
}

static void consume_ring(pair *p)
{
    const size_t ready = svi_ring_ready(p->ring);
    for (size_t i = 0; i < ready; i++) {
        const svi_ring_item *item = svi_ring_at(p->ring, i);
        assert_ptr_equal(item->who, p);
        assert_int_equal(item->n, p->got_items);
        assert_int_equal(item->kind, (uint32_t)p->got_items);
        p->got_items++;
    }
    if (ready == 0) return;
    svi_ring_release(p->ring, ready);
    if (svi_sleep_rouse(&p->producer, SVI_ASLEEP_FOR_ROOM)) (void)sem_post(&p->wake_producer);
}

static void consume(pair *p)
{
    const uint64_t mails = (ITEMS + 4) / 5;
    while (p->got_items < ITEMS || p->got_mail < mails) {
        consume_ring(p);
        consume_mail(p);
        svi_sleep_announce(&p->consumer, SVI_ASLEEP);
        if (svi_ring_ready(p->ring) == 0 && !svi_mail_has(&p->mail) &&
            (p->got_items < ITEMS || p->got_mail < mails))
            (void)sem_wait(&p->wake_consumer);
        svi_sleep_end(&p->consumer);
    }
}

static void two_threads_lose_nothing_and_nobody_oversleeps(void **state)
{
    (void)state;
    static const size_t slots[] = {2, 4, 1024};
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        pair p = {.ring = svi_ring_new(&books, slots[i])};
        p.nodes = svi_alloc(&books, ITEMS * sizeof *p.nodes);
        assert_int_equal(sem_init(&p.wake_producer, 0, 0), 0);
        assert_int_equal(sem_init(&p.wake_consumer, 0, 0), 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, produce, &p), 0);
        consume(&p);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(p.got_items, ITEMS);
        assert_int_equal(p.got_mail, (ITEMS + 4) / 5);
        (void)sem_destroy(&p.wake_producer);
        (void)sem_destroy(&p.wake_consumer);
        svi_free(p.nodes);
        svi_ring_free(&p.ring);
    }
}

/* As an I/O thread does it: mail first, then the event that comes behind it. */
static void *produce_in_order(void *arg)
{
    pair *p = arg;
    for (size_t i = 0; i < ITEMS; i++) {
        node *n = &p->nodes[i];
        n->number = i;
        svi_mail_post(&p->mail, &n->link, &n->link);
        while (!svi_ring_put(p->ring, &(svi_ring_item){.n = i})) (void)sched_yield();
        (void)svi_ring_publish(p->ring);
    }
    return NULL;
}

static size_t events_before_their_mail(void)
{
    pair p = {.ring = svi_ring_new(&books, 1024)};
    p.nodes = svi_alloc(&books, ITEMS * sizeof *p.nodes);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce_in_order, &p), 0);
    size_t early = 0;
    while (p.got_items < ITEMS) {
        const size_t ready = svi_ring_ready(p.ring);
        consume_mail(&p);
        p.got_items += ready;
        if (p.got_mail < p.got_items) early++;
        svi_ring_release(p.ring, ready);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    svi_free(p.nodes);
    svi_ring_free(&p.ring);
    return early;
}

/* Whoever sees an event gets the mail that was posted before it, also while more is being posted: the
 * last event of a connection frees it, and none of its nodes may come after that. */
static void mail_is_there_before_what_was_published_behind_it(void **state)
{
    (void)state;
    size_t early = 0;
    for (unsigned i = 0; i < 12 && early == 0; i++) early = events_before_their_mail();
    assert_int_equal(early, 0);
}

static void only_who_wants_it_is_woken(void **state)
{
    (void)state;
    svi_sleeper s = {0};
    assert_false(svi_sleep_rouse(&s, SVI_ASLEEP));
    svi_sleep_announce(&s, SVI_ASLEEP);
    assert_false(svi_sleep_rouse(&s, SVI_ASLEEP_FOR_ROOM));
    assert_true(svi_sleep_rouse(&s, SVI_ASLEEP));
    assert_false(svi_sleep_rouse(&s, SVI_ASLEEP));
    svi_sleep_announce(&s, SVI_ASLEEP_FOR_ROOM);
    assert_true(svi_sleep_rouse(&s, SVI_ASLEEP_FOR_ROOM));
    svi_sleep_announce(&s, SVI_ASLEEP_FOR_ROOM);
    svi_sleep_end(&s);
    assert_false(svi_sleep_rouse(&s, SVI_ASLEEP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_keeps_order_and_bound),
        cmocka_unit_test(ring_refuses_to_release_what_is_not_there),
        cmocka_unit_test(mail_joins_what_was_not_fetched),
        cmocka_unit_test(only_who_wants_it_is_woken),
        cmocka_unit_test(two_threads_lose_nothing_and_nobody_oversleeps),
        cmocka_unit_test(mail_is_there_before_what_was_published_behind_it),
    };
    (void)alarm(60);
    const int failed = cmocka_run_group_tests_name("net_ring", tests, NULL, NULL);
    return failed != 0 || atomic_load(&books.live_bytes) != 0;
}
