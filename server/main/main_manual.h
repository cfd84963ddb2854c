/* The manual page, stave(1), made of the declarations. */
#ifndef SVI_MAIN_MANUAL_H
#define SVI_MAIN_MANUAL_H

#include "main/main_cli.h"

/* Appends the page in the man macros of roff, man(7): the core's commands in the order of `decls`, then those of modules. */
void svi_manual(const svi_decls *decls, svi_buf *out);

#endif
