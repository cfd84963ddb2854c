/* Has notes of one account at a time, until that one says "end": not wrong, but a script that breaks off leaves it so. */
#define WRONG_BOUND
#define WRONG_NAME "wrong_bound"
#include "wrong.h"
