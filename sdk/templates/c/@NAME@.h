/* What the files of @NAME@ share, the test among them. */
#ifndef OWN_H
#define OWN_H

#include <stave/module.h>

/* How many characters there are in UTF-8 text. */
size_t count_chars(sv_str text);

#endif
