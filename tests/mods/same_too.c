/* The module of same.c by another name. */
#define SAME "hello"
#include "same.c"
