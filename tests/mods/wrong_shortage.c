/* Wrong on purpose: crashes when there is no space. */
#define WRONG_SHORTAGE
#define WRONG_NAME "wrong_shortage"
#include "wrong.h"
