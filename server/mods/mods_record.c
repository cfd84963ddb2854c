/* Records of installed modules: read, written as text, compared with what lies in the folder. */
#include "mods/mods_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "mods/mods_impl.h"

#define HEAD "stave-modules 1\n"

enum { PATH_BYTES = 1024, PART = 16384, SHA256_BYTES = 32 };

static const char *const kinds[] = {[SVI_RECORD_SO] = "so", [SVI_RECORD_LUA] = "lua", [SVI_RECORD_FOLDER] = "folder"};

bool svi_record_is_name(sv_str name)
{
    if (name.n == 0 || name.n >= SVI_MOD_NAME_MAX) return false;
    for (size_t i = 0; i < name.n; i++) {
        const char c = name.p[i];
        const bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!fine) return false;
    }
    return true;
}

const char *svi_record_kind_name(svi_record_kind kind)
{
    return kinds[kind];
}

/* --- the file ----------------------------------------------------------------------------------------- */

static bool is_hash(sv_str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!(text.p[i] >= '0' && text.p[i] <= '9') && !(text.p[i] >= 'a' && text.p[i] <= 'f')) return false;
    return text.n == SVI_SHA256_TEXT - 1;
}

static bool take_kind(sv_str word, svi_record_kind *kind_out)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (sv_str_eq(word, sv_str_of(kinds[i]))) {
            *kind_out = (svi_record_kind)i;
            return true;
        }
    return false;
}

static bool read_line(sv_str line, svi_record *r)
{
    sv_str kind;
    return svi_str_split(&line, ' ', &r->name) && svi_record_is_name(r->name) && svi_str_split(&line, ' ', &kind) &&
           take_kind(kind, &r->kind) && svi_str_split(&line, ' ', &r->sha256) && is_hash(r->sha256) &&
           svi_str_split(&line, ' ', &r->interface) && svi_str_split(&line, ' ', &r->when) && r->when.n > 0 &&
           (r->from = line).n > 0;
}

static sv_status read_lines(svi_arena *arena, const char *path, sv_str text, svi_records *records, sv_err *err)
{
    sv_str line;
    size_t lines = 0;
    if (!svi_str_starts(text, SV_STR(HEAD)))
        return svi_err(err, SV_EINVAL, "%.100s is not of a kind that this server knows: move it away, then install its modules again",
                       path);
    text = svi_str_sub(text, sizeof HEAD - 1, text.n);
    for (size_t i = 0; i < text.n; i++) lines += text.p[i] == '\n';
    if (lines > SVI_RECORDS_MAX) return svi_err(err, SV_ELIMIT, "%.100s has more than %d lines", path, SVI_RECORDS_MAX);
    records->items = svi_arena_get(arena, (lines + 1) * sizeof *records->items);
    while (svi_str_split(&text, '\n', &line)) {
        if (!read_line(line, &records->items[records->count]))
            return svi_err(err, SV_EINVAL,
                           "%.100s: line %zu can't be read: mend it, or remove the line and install its module again", path,
                           records->count + 2);
        records->count++;
    }
    return SV_OK;
}

/* At most `max` bytes of a file, borrowed from the arena. */
static sv_status read_text(svi_arena *arena, int fd, size_t max, sv_str *text_out)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return SV_EIO;
    if (st.st_size > (off_t)max) return SV_ELIMIT;
    const size_t size = (size_t)st.st_size;
    char *text = svi_arena_get(arena, size + 1);
    size_t done = 0;
    while (done < size) {
        const ssize_t got = read(fd, text + done, size - done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return SV_EIO;
        done += (size_t)got;
    }
    *text_out = (sv_str){text, size};
    return SV_OK;
}

sv_status svi_records_read(svi_arena *arena, const char *folder, svi_records *records_out, sv_err *err)
{
    char path[PATH_BYTES];
    sv_str text = SV_STR_NONE;
    *records_out = (svi_records){.count = 0};
    if (snprintf(path, sizeof path, "%s/" SVI_RECORD_FILE, folder) >= (int)sizeof path)
        return svi_err(err, SV_ELIMIT, "%.100s: too long", folder);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return SV_OK;
    if (fd < 0) return svi_err(err, SV_EIO, "%.100s can't be read: %s", path, strerror(errno));
    const sv_status status = read_text(arena, fd, SVI_RECORDS_BYTES, &text);
    close(fd);
    if (status != SV_OK) return svi_err(err, status, "%.100s can't be read: %s", path, svi_status_name(status));
    return read_lines(arena, path, text, records_out, err);
}

void svi_records_text(const svi_records *records, svi_buf *out)
{
    svi_buf_put(out, SV_STR(HEAD));
    for (size_t i = 0; i < records->count; i++) {
        const svi_record *r = &records->items[i];
        const sv_str words[] = {r->name, sv_str_of(kinds[r->kind]), r->sha256, r->interface, r->when, r->from};
        for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
            SV_ASSERT(words[k].n > 0 && svi_str_find(words[k], '\n') == words[k].n);
            if (k > 0) svi_buf_putc(out, ' ');
            svi_buf_put(out, words[k]);
        }
        svi_buf_putc(out, '\n');
    }
}

const svi_record *svi_records_find(const svi_records *records, sv_str name, size_t from)
{
    for (size_t i = from; i < records->count; i++)
        if (sv_str_eq(records->items[i].name, name)) return &records->items[i];
    return NULL;
}

/* --- hashes ------------------------------------------------------------------------------------------- */

void svi_sha256_text(sv_str bytes, char hex_out[SVI_SHA256_TEXT])
{
    unsigned char raw[SHA256_BYTES];
    unsigned n = 0;
    const int is_fine = EVP_Digest(bytes.p != NULL ? bytes.p : "", bytes.n, raw, &n, EVP_sha256(), NULL);
    SV_ASSERT(is_fine == 1 && n == sizeof raw);
    svi_hex_write(hex_out, (sv_str){(const char *)raw, sizeof raw});
    hex_out[SVI_SHA256_TEXT - 1] = '\0';
}

static bool sha256_of_file(int fd, char hex_out[SVI_SHA256_TEXT], size_t *size_out)
{
    unsigned char raw[SHA256_BYTES];
    unsigned n = 0;
    char part[PART];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    SV_ASSERT(md != NULL);
    int is_fine = EVP_DigestInit_ex(md, EVP_sha256(), NULL);
    ssize_t got = 0;
    *size_out = 0;
    while (*size_out <= SVI_FOLDER_BYTES && ((got = read(fd, part, sizeof part)) > 0 || (got < 0 && errno == EINTR))) {
        if (got < 0) continue;
        *size_out += (size_t)got;
        is_fine = is_fine == 1 ? EVP_DigestUpdate(md, part, (size_t)got) : 0;
    }
    if (is_fine == 1) is_fine = EVP_DigestFinal_ex(md, raw, &n);
    SV_ASSERT(is_fine == 1 && n == sizeof raw);
    EVP_MD_CTX_free(md);
    svi_hex_write(hex_out, (sv_str){(const char *)raw, sizeof raw});
    hex_out[SVI_SHA256_TEXT - 1] = '\0';
    return got >= 0;
}

/* --- folders ------------------------------------------------------------------------------------------ */

/* One walk through a folder. */
typedef struct walk {
    svi_arena *arena;
    sv_str *paths;
    size_t count, bytes;
    sv_err *err;
} walk;

static sv_status walk_in(walk *w, int at, const char *below, int depth);

static sv_status visit(walk *w, int at, const char *below, const char *name, int depth)
{
    struct stat st;
    const sv_str path = svi_arena_printf(w->arena, "%s%s", below, name);
    for (size_t i = 0; i < path.n; i++)
        if ((unsigned char)path.p[i] < 0x20 || path.p[i] == 0x7f || path.p[i] == '\\')
            return svi_err(w->err, SV_EINVAL, "it has a file whose name has characters that a list can't have: rename it");
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return svi_err(w->err, SV_EIO, "%.100s can't be looked at: %s", path.p, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        const int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) return svi_err(w->err, SV_EIO, "%.100s can't be opened: %s", path.p, strerror(errno));
        return walk_in(w, fd, svi_arena_printf(w->arena, "%.*s/", (int)path.n, path.p).p, depth + 1);
    }
    if (!S_ISREG(st.st_mode))
        return svi_err(w->err, SV_EINVAL, "%.100s is a link or no file: put a copy of the file there", path.p);
    if (w->count == SVI_FOLDER_FILES)
        return svi_err(w->err, SV_ELIMIT, "it has more than %d files: keep what the module does not need elsewhere", SVI_FOLDER_FILES);
    w->paths[w->count++] = path;
    return SV_OK;
}

/* Takes the descriptor. */
static sv_status walk_in(walk *w, int at, const char *below, int depth)
{
    DIR *dir = depth <= SVI_FOLDER_DEPTH ? fdopendir(at) : NULL;
    if (dir == NULL) {
        close(at);
        return svi_err(w->err, SV_ELIMIT, "%.100s: its folders are too deep, or can't be read", below);
    }
    sv_status status = SV_OK;
    for (const struct dirent *entry; status == SV_OK && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.') status = visit(w, dirfd(dir), below, entry->d_name, depth);
    closedir(dir);
    return status;
}

static int by_bytes(const void *a, const void *b)
{
    return svi_str_cmp(*(const sv_str *)a, *(const sv_str *)b);
}

static sv_status add_to_list(walk *w, int at, sv_str path, svi_buf *list)
{
    char hex[SVI_SHA256_TEXT];
    size_t size = 0;
    const int fd = openat(at, path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    const bool is_read = fd >= 0 && sha256_of_file(fd, hex, &size);
    const int why = errno;
    if (fd >= 0) close(fd);
    if (!is_read) return svi_err(w->err, SV_EIO, "%.100s can't be read: %s", path.p, strerror(why));
    w->bytes += size;
    if (w->bytes > SVI_FOLDER_BYTES)
        return svi_err(w->err, SV_ELIMIT, "its files are larger than %d MiB together", SVI_FOLDER_BYTES >> 20);
    svi_buf_printf(list, "%s  %s\n", hex, path.p);
    return SV_OK;
}

sv_status svi_record_list(svi_acct *acct, const char *folder, svi_buf *list, sv_err *err)
{
    walk w = {.arena = svi_arena_new(acct, 4096), .err = err};
    w.paths = svi_arena_get(w.arena, SVI_FOLDER_FILES * sizeof *w.paths);
    const int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int walked = at >= 0 ? dup(at) : -1;
    sv_status status = walked >= 0 ? walk_in(&w, walked, "", 0)
                                   : svi_err(err, SV_EIO, "%.100s can't be opened: %s", folder, strerror(errno));
    if (w.count > 1) qsort(w.paths, w.count, sizeof *w.paths, by_bytes);
    for (size_t i = 0; status == SV_OK && i < w.count; i++) status = add_to_list(&w, at, w.paths[i], list);
    if (at >= 0) close(at);
    svi_arena_free(&w.arena);
    return status;
}

bool svi_record_list_has(sv_str list, sv_str path, sv_str bytes)
{
    char hex[SVI_SHA256_TEXT];
    sv_str line;
    svi_sha256_text(bytes, hex);
    while (svi_str_split(&list, '\n', &line))
        if (svi_str_starts(line, sv_str_of(hex)) && sv_str_eq(svi_str_sub(line, sizeof hex + 1, line.n), path)) return true;
    return false;
}

/* --- the check ---------------------------------------------------------------------------------------- */

/* Which of the forms the path has, and the folder of all modules in `folder`. */
static bool place_of(const char *path, sv_str name, svi_record_kind *kind_out, char folder[PATH_BYTES])
{
    char ends[3][2 * SVI_MOD_NAME_MAX + 8];
    const int n = (int)name.n;
    (void)snprintf(ends[SVI_RECORD_SO], sizeof ends[0], "/%.*s.so", n, name.p);
    (void)snprintf(ends[SVI_RECORD_LUA], sizeof ends[0], "/%.*s.lua", n, name.p);
    (void)snprintf(ends[SVI_RECORD_FOLDER], sizeof ends[0], "/%.*s/%.*s.lua", n, name.p, n, name.p);
    for (int kind = SVI_RECORD_FOLDER; kind >= 0; kind--) { /* the folder's ends like the file's */
        if (!svi_str_ends(sv_str_of(path), sv_str_of(ends[kind]))) continue;
        *kind_out = (svi_record_kind)kind;
        return snprintf(folder, PATH_BYTES, "%.*s", (int)(strlen(path) - strlen(ends[kind])), path) < PATH_BYTES;
    }
    return false;
}

/* The hash of what was found; of a folder its list, too, in which `image` must be: it was read before. */
static sv_status hash_found(svi_acct *acct, const char *folder, sv_str name, svi_record_kind kind, sv_str image, svi_buf *list,
                            char hex[SVI_SHA256_TEXT], sv_err *err)
{
    char path[PATH_BYTES + SVI_MOD_NAME_MAX], file[SVI_MOD_NAME_MAX + 8];
    if (kind != SVI_RECORD_FOLDER) {
        svi_sha256_text(image, hex);
        return SV_OK;
    }
    (void)snprintf(path, sizeof path, "%s/%.*s", folder, (int)name.n, name.p);
    (void)snprintf(file, sizeof file, "%.*s.lua", (int)name.n, name.p);
    const sv_status status = svi_record_list(acct, path, list, err);
    if (status != SV_OK) return status;
    svi_sha256_text(svi_buf_str(list), hex);
    if (!svi_record_list_has(svi_buf_str(list), sv_str_of(file), image))
        return svi_err(err, SV_EDENIED, "its file changes while it is read: try again");
    return SV_OK;
}

sv_status svi_record_check(svi_acct *acct, const char *path, sv_str name, sv_str image, svi_buf *list, sv_err *err)
{
    char folder[PATH_BYTES], hex[SVI_SHA256_TEXT];
    svi_record_kind kind;
    svi_records records;
    if (!place_of(path, name, &kind, folder)) return SV_OK;
    svi_arena *arena = svi_arena_new(acct, 1024);
    sv_status status = svi_records_read(arena, folder, &records, err);
    const svi_record *r = status == SV_OK ? svi_records_find(&records, name, 0) : NULL;
    const char *from = r != NULL ? svi_arena_str(arena, r->from).p : "FILE";
    bool is_known = r == NULL;
    if (r != NULL) status = hash_found(acct, folder, name, kind, image, list, hex, err);
    for (; status == SV_OK && r != NULL && !is_known; r = svi_records_find(&records, name, (size_t)(r - records.items) + 1))
        is_known = r->kind == kind && sv_str_eq(r->sha256, sv_str_of(hex));
    if (status == SV_OK && !is_known)
        status = svi_err(err, SV_EDENIED, "it has changed since it was installed: take the right one (stave module install %.80s)",
                         from);
    svi_arena_free(&arena);
    return status;
}
