/* Wrong on purpose: holds more with each note, without any bound. */
#define WRONG_HOARDS
#define WRONG_NAME "wrong_hoards"
#include "wrong.h"
