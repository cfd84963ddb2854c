/* Wrong on purpose: keeps memory of a read that fails. */
#define WRONG_LEAK
#define WRONG_NAME "wrong_leak"
#include "wrong.h"
