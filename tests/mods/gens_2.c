/* The module of gens.c in another version. */
#define GENS 2
#include "gens.c"
