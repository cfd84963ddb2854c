/* Answers of the server as a person reads them, on standard output. */
#ifndef SVI_MAIN_PRINT_H
#define SVI_MAIN_PRINT_H

#include <jansson.h>

#include "mods/mods_command.h"

/* Print an answer of these commands that was done. */
void svi_print_status(const json_t *answer);
void svi_print_modules(const json_t *answer);
void svi_print_reload(const json_t *answer);
void svi_print_user(const json_t *answer);
/* Prints nothing. */
void svi_print_upgrade(const json_t *answer);
void svi_print_nothing(const json_t *answer);
/* Prints it as it is. */
void svi_print_json(const json_t *answer);

/* Prints text that came from peers, and a line feed: what could steer a terminal is shown as '?'. */
void svi_print_line(const char *before, const char *text);

/* Prints records page by page. */
typedef struct svi_printer {
    const sv_command *what;
    size_t widths[SVI_COLUMNS_MAX]; /* of the columns so far; they only grow */
    bool has_heads;
} svi_printer;

/* Begins; `what` is borrowed. */
void svi_print_init(svi_printer *printer, const sv_command *what);
/* Prints an answer's "rows" by the command's columns. */
void svi_print_rows(svi_printer *printer, const json_t *answer);

/* "912 B", "13 KiB", "20 MiB": as text in `to`, which is returned. */
#define SVI_SIZE_TEXT 32
const char *svi_print_size(int64_t bytes, char to[SVI_SIZE_TEXT]);

/* Prints what a module's file is (svi_mods_describe): a refusal to standard error. */
void svi_print_module(const json_t *answer);

/* Prints what a backup is. */
void svi_print_backup(const json_t *answer);

#endif
