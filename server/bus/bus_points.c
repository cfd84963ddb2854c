/* Names of the hook points. */
#include "bus/bus_points.h"

#include "bus/bus_hooks.h"

#define POINT_NAME(id, name, meaning) [SVI_POINT_##id] = name,
static const char *const names[SVI_POINT_COUNT] = {[SVI_POINT_NONE] = "none",
                                                   SVI_POINTS(POINT_NAME)};

svi_point svi_point_find(sv_str name)
{
    for (svi_point point = 1; point < SVI_POINT_COUNT; point++)
        if (sv_str_eq(name, sv_str_of(names[point]))) return point;
    return SVI_POINT_NONE;
}

const char *svi_point_name(svi_point point)
{
    SV_ASSERT(point < SVI_POINT_COUNT);
    return names[point];
}

const char *svi_point_nearest(sv_str name)
{
    const char *nearest = names[1];
    size_t least = SIZE_MAX;
    for (svi_point point = 1; point < SVI_POINT_COUNT; point++) {
        const size_t distance = svi_str_distance(name, sv_str_of(names[point]), 64);
        if (distance >= least) continue;
        least = distance;
        nearest = names[point];
    }
    return nearest;
}
