/* Steps of scripts that change the network, the disk and the hosts of the stage. */
#include "flow.h"

#include "stage.h"

bool flow_time(sv_str text, int64_t *us_out)
{
    int64_t number;
    const bool is_ms = svi_str_ends(text, SV_STR("ms"));
    const size_t unit = is_ms ? 2 : svi_str_ends(text, SV_STR("s")) ? 1 : 0;
    if (unit == 0 || svi_str_int(svi_str_sub(text, 0, text.n - unit), 0, 100000, &number) != SV_OK) return false;
    *us_out = number * (is_ms ? 1000 : 1000000);
    return true;
}

static bool refuse(svi_buf *why, const char *text)
{
    svi_buf_put(why, sv_str_of(text));
    return false;
}

/* "20ms", or "20ms 200ms": a range. */
static bool read_range(sv_str text, int64_t *min_us_out, int64_t *max_us_out)
{
    sv_str word = SV_STR_NONE;
    text = svi_str_trim(text);
    (void)svi_str_split(&text, ' ', &word);
    text = svi_str_trim(text);
    if (!flow_time(word, min_us_out)) return false;
    *max_us_out = *min_us_out;
    return text.n == 0 || (flow_time(text, max_us_out) && *min_us_out <= *max_us_out);
}

/* --- network -------------------------------------------------------------------------------------------- */

static bool read_bytes(sv_str text, size_t *bytes_out)
{
    int64_t number;
    if (svi_str_int(svi_str_trim(text), 1, 65536, &number) != SV_OK) return false;
    *bytes_out = (size_t)number;
    return true;
}

static bool change_network(svi_stage *stage, svi_link_nature *nature, sv_str rest, svi_buf *why)
{
    svi_link_nature next = *nature;
    if (sv_str_eq(rest, SV_STR("is prompt"))) {
        next = (svi_link_nature){.max_read = 0};
    } else if (svi_str_starts(rest, SV_STR("is slow"))) {
        if (!read_range(svi_str_sub(rest, 7, rest.n), &next.late_min_us, &next.late_max_us))
            return refuse(why, "how slow is it? A time, or the least and the greatest: network is slow 20ms 200ms");
    } else if (svi_str_starts(rest, SV_STR("reads"))) {
        if (!read_bytes(svi_str_sub(rest, 5, rest.n), &next.max_read)) return refuse(why, "how many bytes are read at most? 1 to 65536: network reads 3");
    } else if (svi_str_starts(rest, SV_STR("writes"))) {
        if (!read_bytes(svi_str_sub(rest, 6, rest.n), &next.max_write)) return refuse(why, "how many bytes are written at most? 1 to 65536: network writes 3");
    } else {
        return refuse(why, "the network is slow, is prompt, reads, or writes");
    }
    *nature = next;
    svi_stage_set_network(stage, nature);
    return true;
}

/* --- store ---------------------------------------------------------------------------------------------- */

static bool change_store(svi_stage *stage, sv_str rest, svi_buf *why)
{
    int64_t min_us = 0, max_us = 0;
    if (!svi_stage_is_simulated(stage)) return refuse(why, "the store is a module's, not the stage's disk");
    if (svi_str_starts(rest, SV_STR("is late"))) {
        if (!read_range(svi_str_sub(rest, 7, rest.n), &min_us, &max_us))
            return refuse(why, "how late is it? A time, or the least and the greatest: store is late 3s");
        svi_stage_set_disk_late(stage, min_us, max_us);
    } else if (sv_str_eq(rest, SV_STR("is prompt"))) {
        svi_stage_set_disk_late(stage, 0, 0);
    } else if (sv_str_eq(rest, SV_STR("holds")) || sv_str_eq(rest, SV_STR("goes on"))) {
        svi_stage_hold_disk(stage, sv_str_eq(rest, SV_STR("holds")));
    } else if (sv_str_eq(rest, SV_STR("fails"))) {
        svi_stage_fail_read(stage, 1);
    } else if (sv_str_eq(rest, SV_STR("is full")) || sv_str_eq(rest, SV_STR("has room"))) {
        svi_stage_fill_disk(stage, sv_str_eq(rest, SV_STR("is full")));
    } else {
        return refuse(why, "the store is late, is prompt, holds, goes on, fails, is full, or has room");
    }
    return true;
}

/* --- hosts ---------------------------------------------------------------------------------------------- */

static bool change_host(svi_stage *stage, sv_str rest, svi_buf *why)
{
    sv_str domain = SV_STR_NONE;
    (void)svi_str_split(&rest, ' ', &domain);
    rest = svi_str_trim(rest);
    if (sv_str_eq(rest, SV_STR("goes"))) return svi_stage_host_go(stage, domain, why);
    if (sv_str_eq(rest, SV_STR("comes"))) return svi_stage_host_come(stage, domain, why);
    return refuse(why, "a host goes, or comes: host other.localhost goes");
}

bool flow_change(svi_stage *stage, svi_link_nature *nature, sv_str step, svi_buf *why)
{
    sv_str rest = svi_str_trim(step), word = SV_STR_NONE;
    (void)svi_str_split(&rest, ' ', &word);
    rest = svi_str_trim(rest);
    if (!svi_stage_start(stage)) return refuse(why, svi_stage_problem(stage));
    const bool ok = sv_str_eq(word, SV_STR("network")) ? change_network(stage, nature, rest, why)
                    : sv_str_eq(word, SV_STR("store")) ? change_store(stage, rest, why)
                                                       : change_host(stage, rest, why);
    (void)svi_stage_settle(stage); /* the server has noticed before the next step */
    return ok;
}
