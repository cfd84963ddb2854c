/* The module of gens.c in another version. */
#define GENS 5
#include "gens.c"
