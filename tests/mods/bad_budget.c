/* Declares an option that the server has for each module. */
#include <stave/module.h>

typedef struct bad_budget {
    int64_t bytes;
} bad_budget;

static const sv_option options[] = {
    SV_OPT_SIZE(bad_budget, bytes, "bad_budget_memory_max", "1k", "0", "1M", "Its own idea of it."), {0}};

SV_MODULE(.name = "bad_budget", .summary = "Declares an option of the server",
          .self_size = sizeof(bad_budget), .options = options)
