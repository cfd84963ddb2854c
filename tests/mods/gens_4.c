/* The module of gens.c in another version. */
#define GENS 4
#include "gens.c"
