/* Files of scripts: a folder of the world's own, for what modules read and write there. */
#include "flow.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20 };

static int drop(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info, (void)kind, (void)place;
    return remove(path);
}

void flow_folder_drop(const char *folder)
{
    if (folder[0]) (void)nftw(folder, drop, 8, FTW_DEPTH | FTW_PHYS);
}

/* The path of a file in the folder; false with a reason for a name that would lead out of it. */
static bool path_of(const char *folder, sv_str name, char path[FLOW_PATH_BYTES], svi_buf *why)
{
    const int n = snprintf(path, FLOW_PATH_BYTES, "%s/%.*s", folder, (int)name.n, name.p);
    const bool ok = name.n > 0 && name.p[0] != '.' && !memchr(name.p, '/', name.n) && n < FLOW_PATH_BYTES;
    if (!ok) svi_buf_printf(why, "'%.*s' is no name of a file in the script's folder", (int)name.n, name.p);
    return ok;
}

static bool close_file(FILE *file, bool ok, const char *path, svi_buf *why)
{
    const int fault = errno;
    const bool is_closed = !file || fclose(file) == 0;
    if (!ok || !is_closed) svi_buf_printf(why, "%s: %s", path, strerror(ok ? errno : fault));
    return ok && is_closed;
}

bool flow_file_write(const char *folder, sv_str name, sv_str lines, svi_buf *why)
{
    char path[FLOW_PATH_BYTES];
    sv_str line;
    if (!path_of(folder, name, path, why)) return false;
    FILE *file = fopen(path, "we");
    bool ok = file != NULL;
    while (ok && svi_str_split(&lines, '\n', &line)) {
        line = svi_str_trim(line);
        ok = fprintf(file, "%.*s\n", (int)line.n, line.n > 0 ? line.p : "") >= 0;
    }
    return close_file(file, ok, path, why);
}

bool flow_file_read(const char *folder, sv_str name, svi_buf *out, svi_buf *why)
{
    char path[FLOW_PATH_BYTES];
    if (!path_of(folder, name, path, why)) return false;
    FILE *file = fopen(path, "re");
    if (!file) return close_file(file, false, path, why);
    size_t n = 1;
    while (n > 0 && out->len < FILE_BYTES_MAX) {
        n = fread(svi_buf_space(out, 4096), 1, 4096, file);
        out->len += n;
    }
    return close_file(file, ferror(file) == 0, path, why);
}
