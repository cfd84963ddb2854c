/* Wrong on purpose: confirms what it has not written. */
#define WRONG_UNSAVED
#define WRONG_NAME "wrong_unsaved"
#include "wrong.h"
