/* An option whose field is not in `self`: its size was forgotten. */
#include <stave/module.h>

typedef struct bad_option {
    int64_t number;
} bad_option;

static const sv_option options[] = {SV_OPT_INT(bad_option, number, "bad_option_number", "1", "0", "9", "A number."), {0}};

SV_MODULE(.name = "bad_option", .summary = "An option outside of self", .options = options)
