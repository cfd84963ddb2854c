/* What the others beside it are without their fault. */
#include "wrong.h"
