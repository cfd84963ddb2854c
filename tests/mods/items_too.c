/* Another module that does the same. */
#define ITEMS_NAME "items_too"
#include "items.c"
