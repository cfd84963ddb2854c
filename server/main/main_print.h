/* Answers of the server as a person reads them. */
#ifndef SVI_MAIN_PRINT_H
#define SVI_MAIN_PRINT_H

#include <jansson.h>

#include "main/main_cli.h"

/* Prints the answer of a command that was done on standard output. */
void svi_print_answer(svi_command command, const json_t *answer);

#endif
