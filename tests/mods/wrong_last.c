/* Wrong on purpose: crashes when the third read or a later one fails. */
#define WRONG_LAST
#define WRONG_NAME "wrong_last"
#include "wrong.h"
