/* Wrong on purpose: answers twice once it was loaded anew. */
#define WRONG_TWICE
#define WRONG_NAME "wrong_twice"
#include "wrong.h"
