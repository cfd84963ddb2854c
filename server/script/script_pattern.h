/* The patterns of Lua (section 6.4.1 of its manual), matched with a bound on the work.
 *
 * Why not Lua's own matcher: a hostile pattern keeps it busy for hours, and nothing interrupts a
 * function of C. This one takes the same language and gives the same results, until its steps are
 * used up. As there, a fault of a pattern is told only when the match comes to it. Knows nothing of
 * Lua states. */
#ifndef SVI_SCRIPT_PATTERN_H
#define SVI_SCRIPT_PATTERN_H

#include <stave/types.h>

enum {
    SVI_PATTERN_STEPS = 1000000, /* of one call: a byte looked at, in the subject or in a set */
    SVI_PATTERN_CAPTURES = 32,
    SVI_PATTERN_DEPTH = 200 /* items that wait for what follows them */
};

/* What a capture is while it is open, and what "()" takes; other lengths are of text. */
#define SVI_CAPTURE_OPEN SIZE_MAX
#define SVI_CAPTURE_POSITION (SIZE_MAX - 1)

typedef struct svi_capture {
    size_t at; /* where it begins in the subject */
    size_t n;  /* bytes, or one of the two values above */
} svi_capture;

/* One call's work: several matches may be tried with it, they share the steps. */
typedef struct svi_match {
    sv_str subject, pattern; /* borrowed */
    int64_t steps_left;
    unsigned depth;
    unsigned count; /* captures of the last match that was tried */
    svi_capture captures[SVI_PATTERN_CAPTURES];
    const char *fault; /* why it can't go on: static text, NULL while all is well */
} svi_match;

/* Begins: an anchor '^' is the caller's to take off. The texts must outlive the match. */
void svi_match_init(svi_match *m, sv_str subject, sv_str pattern, int64_t steps);

/* Tries whether the pattern matches exactly at `from` (at most subject.n), and where that ends.
 * SV_OK, SV_ENOTFOUND, SV_EINVAL (a fault of the pattern, or too deep) or SV_ELIMIT (too many
 * steps); with the last two `fault` says it, and nothing more can be tried. */
sv_status svi_match_at(svi_match *m, size_t from, size_t *end_out);

/* The first match at `from` or behind it. As svi_match_at. */
sv_status svi_match_find(svi_match *m, size_t from, size_t *begin_out, size_t *end_out);

/* Capture `i` (from 0) of a match that is [begin, end); without captures number 0 is the whole
 * match. SV_EINVAL and `fault` if there is no such capture, or it was never closed. */
sv_status svi_match_capture(svi_match *m, unsigned i, size_t begin, size_t end,
                            svi_capture *capture_out);

#endif
