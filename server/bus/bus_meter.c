/* The meter: which turns are timed, and stamps between those whose time it is. */
#include "bus/bus_impl.h"

void svi_hook_stats_add(svi_hook_stats *sum, const svi_hook_stats *more)
{
    sum->calls += more->calls;
    sum->passed += more->passed;
    sum->done += more->done;
    sum->later += more->later;
    sum->callbacks += more->callbacks;
    sum->faults += more->faults;
    sum->cpu_ns += more->cpu_ns;
}

void svi_bus_meter_stats(const svi_bus *bus, svi_meter_stats *stats_out)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    *stats_out = bus->meter.stats;
}

/* Which of a block's turns is timed; as good as random, and the same in each run. */
static uint32_t pick(uint64_t block, uint32_t every)
{
    uint64_t x = block * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((x ^ (x >> 31)) % every);
}

static bool is_picked(svi_meter *meter)
{
    if (meter->every == SVI_SAMPLE_NEVER) return false;
    if (meter->left == 0) {
        meter->left = meter->every;
        meter->picked = pick(++meter->block, meter->every);
    }
    return --meter->left == meter->picked;
}

void svi_meter_begin(svi_meter *meter, bool always)
{
    if (meter->depth++ > 0) return;
    SV_ASSERT(meter->now == NULL);
    meter->stats.turns++;
    meter->weight = always ? 1 : is_picked(meter) ? meter->every : 0;
    if (meter->weight > 0) meter->stats.timed++;
}

void svi_meter_stamp(svi_bus *bus)
{
    svi_meter *meter = &bus->meter;
    const int64_t now_us = svi_bus_now(bus);
    meter->stats.reads++;
    if (meter->now != NULL) meter->now->cpu_ns += (now_us - meter->since_us) * 1000 * meter->weight;
    meter->since_us = now_us;
}

static svi_hook_stats *enter(svi_bus *bus, svi_hook_stats *whose, bool always)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    svi_meter_begin(&bus->meter, always);
    svi_hook_stats *const outer = bus->meter.now;
    if (bus->meter.weight > 0) svi_meter_stamp(bus);
    bus->meter.now = whose;
    return outer;
}

svi_hook_stats *svi_bus_enter(svi_bus *bus, svi_hook_stats *whose)
{
    return enter(bus, whose, false);
}

svi_hook_stats *svi_bus_enter_timed(svi_bus *bus, svi_hook_stats *whose)
{
    return enter(bus, whose, true);
}

void svi_bus_leave(svi_bus *bus, svi_hook_stats *outer)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    if (bus->meter.weight > 0) svi_meter_stamp(bus);
    bus->meter.now = outer;
    svi_meter_end(&bus->meter);
}
