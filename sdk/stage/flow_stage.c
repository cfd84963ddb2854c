/* A world of flow scripts on the stage. */
#include "flow.h"

#include "stage.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct stage_world {
    flow_world world;
    svi_stage *stage;
    svi_link_nature nature;
    const char *paths[2];
    char examples[4200];
    char folder[32]; /* of files; "" if there is none */
} stage_world;

svi_stage *flow_stage_of(const flow_world *world)
{
    return ((const stage_world *)(const void *)world)->stage;
}

/* --- pipes ------------------------------------------------------------------------------------------------- */

typedef struct stage_pipe {
    flow_pipe pipe;
    svi_link *link;
} stage_pipe;

static ssize_t pipe_read(flow_pipe *pipe, void *to, size_t n)
{
    svi_link *link = ((stage_pipe *)(void *)pipe)->link;
    const ssize_t got = link->ops->read(link, to, n);
    if (got != -ECONNRESET) return got;
    pipe->fault = "it was lost";
    return 0;
}

static ssize_t pipe_write(flow_pipe *pipe, const void *from, size_t n)
{
    svi_link *link = ((stage_pipe *)(void *)pipe)->link;
    return link->ops->write(link, from, n);
}

static void pipe_close(flow_pipe *pipe)
{
    stage_pipe *p = (stage_pipe *)(void *)pipe;
    p->link->ops->close(p->link);
    svi_free(p);
}

static void pipe_cut(flow_pipe *pipe)
{
    svi_link_cut(((stage_pipe *)(void *)pipe)->link);
}

static void pipe_silence(flow_pipe *pipe)
{
    svi_link_silence(((stage_pipe *)(void *)pipe)->link);
}

static void not_told(void *ctx, bool readable, bool writable)
{
    (void)ctx, (void)readable, (void)writable; /* the runner looks by itself */
}

/* --- the world ------------------------------------------------------------------------------------------------- */

static bool configure(flow_world *world, sv_str line)
{
    return svi_stage_configure(flow_stage_of(world), line);
}

static bool enable(flow_world *world, sv_str module)
{
    return svi_stage_enable(flow_stage_of(world), module);
}

static void draw(flow_world *world, void *to, size_t n)
{
    const svi_plat *plat = &svi_stage_plat(flow_stage_of(world))->plat;
    plat->random(plat->ctx, to, n);
}

static bool settle(flow_world *world)
{
    return svi_stage_settle(flow_stage_of(world));
}

static bool pass_owed(flow_world *world)
{
    return svi_stage_pass_owed(flow_stage_of(world));
}

static void pass_time(flow_world *world, int64_t us)
{
    if (svi_stage_start(flow_stage_of(world))) svi_stage_pass(flow_stage_of(world), us);
}

static bool add_account(flow_world *world, sv_str user, sv_str domain, sv_str password, svi_buf *why)
{
    svi_stage *stage = flow_stage_of(world);
    if (svi_stage_start(stage)) return svi_stage_add_account(stage, user, domain, password);
    svi_buf_printf(why, "the server does not start: %s", svi_stage_problem(stage));
    return false;
}

static flow_pipe *open_pipe(flow_world *world)
{
    svi_stage *stage = flow_stage_of(world);
    if (!svi_stage_start(stage)) return NULL;
    svi_link *link = svi_stage_connect(stage);
    link->ready = not_told;
    stage_pipe *p = svi_alloc(world->acct, sizeof *p);
    *p = (stage_pipe){.pipe = {.read = pipe_read, .write = pipe_write, .close = pipe_close, .cut = pipe_cut, .silence = pipe_silence, .fd = -1}, .link = link};
    return &p->pipe;
}

static bool operate(flow_world *world, sv_str line, svi_buf *out)
{
    svi_stage *stage = flow_stage_of(world);
    if (svi_stage_start(stage)) return flow_operate(world, svi_stage_server(stage), svi_stage_mods(stage), line, out);
    svi_buf_printf(out, "the stage does not start: %s", svi_stage_problem(stage));
    return false;
}

static bool reload(flow_world *world, sv_str module, svi_buf *why)
{
    svi_stage *stage = flow_stage_of(world);
    if (svi_stage_start(stage)) return svi_stage_reload(stage, module, why);
    svi_buf_put(why, sv_str_of(svi_stage_problem(stage)));
    return false;
}

/* Starts it again; what it does by itself then has been done. */
static bool start_again(svi_stage *stage, svi_buf *why)
{
    const bool is_up = svi_stage_start(stage);
    if (is_up)
        (void)svi_stage_settle(stage);
    else
        svi_buf_put(why, sv_str_of(svi_stage_problem(stage)));
    return is_up;
}

static bool restart(flow_world *world, svi_buf *why)
{
    svi_stage *stage = flow_stage_of(world);
    (void)svi_stage_settle(stage);
    svi_stage_stop(stage);
    return start_again(stage, why);
}

static bool kill_server(flow_world *world, svi_buf *why)
{
    svi_stage *stage = flow_stage_of(world);
    if (!svi_stage_is_simulated(stage)) {
        svi_buf_put(why, SV_STR("the store is a module's: what it has under way can't be taken back"));
        return false;
    }
    svi_stage_kill(stage);
    return start_again(stage, why);
}

static bool change(flow_world *world, sv_str step, svi_buf *why)
{
    stage_world *w = (stage_world *)(void *)world;
    return flow_change(w->stage, &w->nature, step, why);
}

static sv_str log_lines(const flow_world *world)
{
    return svi_stage_log(flow_stage_of(world));
}

/* All clients have gone. What one that fell silent never read does not count as in flight for ever. */
static void end_what_is_owed(svi_stage *stage)
{
    svi_stage_hold_disk(stage, false);
    while (svi_stage_pass_owed(stage)) continue;
    svi_link_pairs_cut(svi_stage_links(stage));
    while (svi_stage_pass_owed(stage)) continue;
}

static const char *folder(flow_world *world)
{
    stage_world *w = (stage_world *)(void *)world;
    if (w->folder[0]) return w->folder;
    (void)snprintf(w->folder, sizeof w->folder, "/tmp/flow-XXXXXX");
    if (mkdtemp(w->folder)) return w->folder;
    w->folder[0] = 0;
    return NULL;
}

static bool close_stage(flow_world **world, char *why, size_t why_bytes)
{
    stage_world *w = (stage_world *)(void *)*world;
    end_what_is_owed(w->stage);
    const bool could_start = !svi_stage_problem(w->stage)[0];
    (void)snprintf(why, why_bytes, "%s", could_start ? svi_stage_fault(w->stage) : "");
    svi_stage_free(&w->stage);
    flow_folder_drop(w->folder);
    svi_free(w);
    *world = NULL;
    return why[0] == 0;
}

static stage_world *new_world(svi_acct *acct)
{
    stage_world *w = svi_alloc(acct, sizeof *w);
    w->world = (flow_world){.acct = acct,
                            .name = "stage",
                            .configure = configure,
                            .enable = enable,
                            .add_account = add_account,
                            .open = open_pipe,
                            .random = draw,
                            .settle = settle,
                            .pass_owed = pass_owed,
                            .pass_time = pass_time,
                            .operate = operate,
                            .reload = reload,
                            .restart = restart,
                            .kill = kill_server,
                            .change = change,
                            .log_lines = log_lines,
                            .folder = folder,
                            .close = close_stage};
    return w;
}

flow_world *flow_stage_with(svi_acct *acct, const svi_stage_config *config)
{
    stage_world *w = new_world(acct);
    w->stage = svi_stage_new(config);
    return &w->world;
}

flow_world *flow_stage_new(svi_acct *acct, const char *module_dir, const char *modules)
{
    stage_world *w = new_world(acct);
    (void)snprintf(w->examples, sizeof w->examples, "%s/../examples", module_dir);
    w->paths[0] = module_dir;
    w->paths[1] = w->examples;
    w->stage = svi_stage_new(&(svi_stage_config){
        .core = acct, .peers = acct, .paths = w->paths, .path_count = 2, .modules = modules, .seed = 1});
    return &w->world;
}
