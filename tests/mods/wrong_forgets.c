/* Wrong on purpose: says LATER and forgets it when a read fails. */
#define WRONG_FORGETS
#define WRONG_NAME "wrong_forgets"
#include "wrong.h"
