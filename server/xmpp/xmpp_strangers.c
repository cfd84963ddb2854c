/* The pool of strangers: two lists through the streams, and a table of networks. */
#include "xmpp/xmpp_strangers.h"

#include <limits.h>

#include "base/base_dict.h"
#include "xmpp/xmpp_network.h"
#include "xmpp/xmpp_stream.h"

#define MAGIC 0x53545247u
#define HURRIED_MS 500u /* for a last word while many are being closed */
#define MINUTE_US INT64_C(60000000)
#define IDLE_NETWORKS 8192u /* above it those without a stream are forgotten at once */

typedef struct queue {
    svi_stream *oldest, *newest;
    size_t count;
} queue;

struct svi_neighbours {
    queue strangers;
    size_t streams; /* strangers or not */
    unsigned begun; /* in the minute that began at since_us */
    unsigned refused; /* in the same minute */
    int64_t since_us;
    sv_str name;
};

struct svi_strangers {
    uint32_t magic;
    svi_acct *acct;
    const svi_limits *limits;
    queue all;
    size_t leaving;
    svi_dict *networks; /* name -> svi_neighbours, while it has a stream or its minute lasts */
    size_t swept;       /* place in it */
    const svi_plat *plat;
};

svi_strangers *svi_strangers_new(svi_acct *acct, const svi_plat *plat, const svi_limits *limits)
{
    svi_strangers *s = svi_alloc(acct, sizeof *s);
    *s = (svi_strangers){.magic = MAGIC, .acct = acct, .limits = limits, .plat = plat};
    s->networks = svi_dict_new(acct);
    return s;
}

static void forget_network(svi_strangers *s, svi_neighbours *n)
{
    SV_ASSERT(n->streams == 0);
    (void)svi_dict_del(s->networks, n->name);
    svi_str_free(&n->name);
    svi_free(n);
}

void svi_strangers_free(svi_strangers **strangers)
{
    svi_strangers *s = *strangers;
    *strangers = NULL;
    if (!s) return;
    SV_CHECK(s, MAGIC);
    SV_ASSERT(s->all.count == 0 && s->leaving == 0);
    size_t pos = 0;
    sv_str name;
    void *network;
    while (svi_dict_next(s->networks, &pos, &name, &network)) forget_network(s, network);
    svi_dict_free(&s->networks);
    s->magic = 0;
    svi_free(s);
}

/* --- lists: `at` is the link's place in a stream ------------------------------------------------- */

static svi_stream_link *link_at(svi_stream *stream, size_t at)
{
    return (svi_stream_link *)(void *)((char *)stream + at);
}

#define ALL offsetof(svi_stream, stranger.all)
#define NEAR offsetof(svi_stream, stranger.near)

static void add(queue *q, svi_stream *stream, size_t at)
{
    svi_stream_link *link = link_at(stream, at);
    *link = (svi_stream_link){.prev = q->newest};
    if (q->newest)
        link_at(q->newest, at)->next = stream;
    else
        q->oldest = stream;
    q->newest = stream;
    q->count++;
}

static void del(queue *q, svi_stream *stream, size_t at)
{
    svi_stream_link *link = link_at(stream, at);
    SV_ASSERT(q->count > 0);
    if (link->prev)
        link_at(link->prev, at)->next = link->next;
    else
        q->oldest = link->next;
    if (link->next)
        link_at(link->next, at)->prev = link->prev;
    else
        q->newest = link->prev;
    *link = (svi_stream_link){NULL, NULL};
    q->count--;
}

/* --- networks ------------------------------------------------------------------------------------ */

/* Of this machine itself there is none, since everybody may come from there. */
static svi_neighbours *network_of(svi_strangers *s, const svi_stream *stream)
{
    const svi_network net = svi_network_of(svi_stream_whence(stream));
    if (net.text[0] == '\0') return NULL;
    svi_neighbours *n = svi_dict_get(s->networks, sv_str_of(net.text));
    if (n) return n;
    n = svi_alloc(s->acct, sizeof *n);
    *n = (svi_neighbours){.name = svi_str_dup(s->acct, sv_str_of(net.text))};
    (void)svi_dict_put(s->networks, n->name, n);
    return n;
}

static int64_t now_us(const svi_strangers *s)
{
    return s->plat->mono_us(s->plat->ctx);
}

/* One more has begun; the minute is that of the first. */
static void count_begun(const svi_strangers *s, svi_neighbours *n)
{
    if (n->begun == 0 || now_us(s) - n->since_us >= MINUTE_US) {
        n->begun = n->refused = 0;
        n->since_us = now_us(s);
    }
    if (n->begun < UINT_MAX) n->begun++;
}

/* Looks at two networks for each that may come. */
static void sweep(svi_strangers *s)
{
    sv_str name;
    void *value;
    for (int i = 0; i < 2; i++) {
        if (!svi_dict_next(s->networks, &s->swept, &name, &value)) {
            s->swept = 0;
            return;
        }
        svi_neighbours *n = value;
        const bool is_over = now_us(s) - n->since_us >= MINUTE_US;
        if (n->streams == 0 && (is_over || svi_dict_count(s->networks) > IDLE_NETWORKS))
            forget_network(s, n);
    }
}

/* --- the pool ------------------------------------------------------------------------------------ */

void svi_strangers_place(svi_strangers *strangers, svi_stream *stream)
{
    SV_CHECK(strangers, MAGIC);
    svi_stranger *who = &stream->stranger;
    SV_ASSERT(!who->network);
    who->network = network_of(strangers, stream);
    if (!who->network) return;
    who->network->streams++;
    count_begun(strangers, who->network);
    sweep(strangers);
    if (who->is_in) add(&who->network->strangers, stream, NEAR);
}

void svi_strangers_enter(svi_strangers *strangers, svi_stream *stream)
{
    SV_CHECK(strangers, MAGIC);
    stream->stranger = (svi_stranger){.is_in = true};
    add(&strangers->all, stream, ALL);
    if (!stream->is_relayed) svi_strangers_place(strangers, stream);
}

bool svi_strangers_is_crowd(const svi_strangers *strangers, const svi_stream *stream,
                            const char **limit_out)
{
    SV_CHECK(strangers, MAGIC);
    const svi_limits *limits = strangers->limits;
    const svi_neighbours *n = stream->stranger.network;
    *limit_out = "streams_per_address";
    if (n && n->streams > limits->streams_per_address) return true;
    *limit_out = "connects_per_address";
    return n && limits->connects_per_address > 0 && n->begun > limits->connects_per_address;
}

unsigned svi_strangers_refuse(svi_strangers *strangers, const svi_stream *stream)
{
    SV_CHECK(strangers, MAGIC);
    svi_neighbours *n = stream->stranger.network;
    SV_ASSERT(n != NULL);
    if (n->refused < UINT_MAX) n->refused++;
    return n->refused;
}

svi_stream *svi_strangers_excess(const svi_strangers *strangers, const svi_stream *newest,
                                 const char **limit_out)
{
    SV_CHECK(strangers, MAGIC);
    const svi_neighbours *n = newest->stranger.network;
    *limit_out = "strangers_per_address";
    if (n && n->strangers.count > strangers->limits->strangers_per_address)
        return n->strangers.oldest;
    *limit_out = "strangers";
    return strangers->all.count > strangers->limits->strangers ? strangers->all.oldest : NULL;
}

void svi_strangers_known(svi_strangers *strangers, svi_stream *stream)
{
    SV_CHECK(strangers, MAGIC);
    svi_stranger *who = &stream->stranger;
    if (!who->is_in) return;
    who->is_in = false;
    del(&strangers->all, stream, ALL);
    if (who->network) del(&who->network->strangers, stream, NEAR);
}

unsigned svi_strangers_leave(svi_strangers *strangers, svi_stream *stream, unsigned within_ms)
{
    SV_CHECK(strangers, MAGIC);
    if (!stream->stranger.is_in) return within_ms;
    svi_strangers_known(strangers, stream);
    stream->stranger.is_leaving = true;
    strangers->leaving++;
    if (strangers->leaving > strangers->limits->strangers) return 0;
    const bool is_many = strangers->leaving > strangers->limits->strangers / 2;
    return is_many && within_ms > HURRIED_MS ? HURRIED_MS : within_ms;
}

void svi_strangers_forget(svi_strangers *strangers, svi_stream *stream)
{
    svi_strangers_known(strangers, stream);
    svi_stranger *who = &stream->stranger;
    if (who->is_leaving) strangers->leaving--;
    who->is_leaving = false;
    if (who->network) who->network->streams--;
    who->network = NULL;
}
