/* stave-sdk: what `stave` runs for authors of modules. It takes the same arguments, by the same declarations
 * (main_core.c), and knows the commands that are not about a server. */
#ifndef AUTHOR_H
#define AUTHOR_H

#include "base/base_mem.h"
#include "main/main_cli.h"

typedef struct svi_author {
    svi_cli cli; /* what was asked */
    svi_acct acct;
    svi_arena *arena;   /* until the end */
    const char *sdk;    /* the folder with templates/ and stave.mk */
    const char *prefix; /* of the installation; NULL in the build tree */
    const char *stave;  /* the server's binary */
    /* Folders of the server's own modules, the first that there is. */
    const char *modules;
} svi_author;

/* `stave new module`: makes the folder of a module from the templates. The exit status. */
int svi_author_new(svi_author *author);

/* `stave test`: builds and tests a module (author_try.h). The exit status. */
int svi_author_test(svi_author *author);

/* Says on standard error what is wrong, behind "stave: ", and gives the exit status back. */
int svi_author_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
