/* Figures that the server tells of itself: what modules cost, where the router's time goes, metrics. */
#ifndef SVI_MAIN_FIGURES_H
#define SVI_MAIN_FIGURES_H

#include "main/main_core.h"
#include "main/main_shard.h"

/* `stave modules show`, `stave metrics` and what `stave top` asks for (main_core.c). They end the request.
 * Router thread, as all here. */
void svi_command_modules_show(svi_commands *commands, svi_request *request);
void svi_command_metrics(svi_commands *commands, svi_request *request);
void svi_command_top(svi_commands *commands, svi_request *request);

/* Adds what the module costs to its object. */
void svi_figures_costs(json_t *module, const svi_mod_info *info);

/* Where the router's time went since the start, in us of the clock: "busy-us" in all, of it "modules-us",
 * "accounting-us" (reads of the clock times what one takes), "watching-us" (the same for the cheap clock, which finds
 * slow handlers) and "core-us". A new reference. */
json_t *svi_figures_router(svi_shard *shard);

#endif
