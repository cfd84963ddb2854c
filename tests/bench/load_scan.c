/* Finds where stanzas end, without parsing more than that. */
#include "load.h"

#include <string.h>

bool load_has(const char *bytes, size_t n, const char *text)
{
    return memmem(bytes, n, text, strlen(text)) != NULL;
}

bool load_starts(const char *bytes, size_t n, const char *text)
{
    const size_t m = strlen(text);
    return n >= m && memcmp(bytes, text, m) == 0;
}

/* The '>' that ends the tag at `p`, NULL if it isn't there; '>' may stand in attribute values (XML 1.0 2.4). */
static const char *tag_end(const char *p, const char *end)
{
    char quote = 0;
    for (; p < end; p++) {
        if (quote) {
            if (*p == quote) quote = 0;
        } else if (*p == '"' || *p == '\'') {
            quote = *p;
        } else if (*p == '>') {
            return p;
        }
    }
    return NULL;
}

size_t load_scan_next(load_scan *scan, const char *bytes, size_t n)
{
    const char *end = bytes + n;
    while (scan->at < n) {
        const char *lt = memchr(bytes + scan->at, '<', n - scan->at);
        const char *gt = lt ? tag_end(lt, end) : NULL;
        if (!gt) {
            scan->at = (size_t)((lt ? lt : end) - bytes);
            return 0;
        }
        scan->at = (size_t)(gt + 1 - bytes);
        const size_t tag_n = (size_t)(gt - lt);
        if (lt[1] == '?') continue;
        const bool is_stream = load_starts(lt, tag_n, "<stream:stream");
        if (lt[1] == '/')
            scan->depth--;
        else if (gt[-1] != '/' && !is_stream)
            scan->depth++;
        if (scan->depth > 0) continue;
        const size_t whole = scan->at;
        *scan = (load_scan){.at = 0};
        return whole;
    }
    return 0;
}
