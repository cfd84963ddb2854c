/* The module of gens.c in another version. */
#define GENS 3
#include "gens.c"
