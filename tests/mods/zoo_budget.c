/* Tries to say itself how much it may use: its option has the name of the operator's. */
#include <stave/module.h>

typedef struct zoo_budget {
    int64_t memory_max;
} zoo_budget;

static const sv_option options[] = {
    SV_OPT_SIZE(zoo_budget, memory_max, "zoo_budget_memory_max", "1024G", "0", "1024G", "All that there is."),
    {0},
};

SV_MODULE(.name = "zoo_budget", .summary = "Raises its own budget", .self_size = sizeof(zoo_budget),
          .options = options)
