/* Strings and growing buffers: comparison, search, numbers, UTF-8, hex, base64.
 *
 * All take pointer + length; none allocates except through a buffer or arena that is handed in. */
#ifndef SVI_BASE_STR_H
#define SVI_BASE_STR_H

#include "base/base_mem.h"

/* ASCII case folding compare; for words that specs call case-insensitive, never for addresses. */
bool svi_str_eq_fold(sv_str a, sv_str b);

/* Order of bytes, shorter first on a tie: <0, 0, >0. */
int svi_str_cmp(sv_str a, sv_str b);

/* True if `s` begins with `prefix`; the empty one begins all. */
bool svi_str_starts(sv_str s, sv_str prefix);

/* True if `s` ends with `suffix`; the empty one ends all. */
bool svi_str_ends(sv_str s, sv_str suffix);

/* Position of the first `c`, or s.n if there is none. */
size_t svi_str_find(sv_str s, char c);

/* The part from `from` with at most `n` bytes, cut to what is there. */
sv_str svi_str_sub(sv_str s, size_t from, size_t n);

/* White space (space, tab, CR, LF) cut off at both ends. */
sv_str svi_str_trim(sv_str s);

/* Takes the part before `sep` off the front of *rest into *word_out; false when *rest is empty. */
bool svi_str_split(sv_str *rest, char sep, sv_str *word_out);

/* Whole string as a decimal number in [min, max]: SV_EINVAL if it is not, SV_ELIMIT if out of range. */
sv_status svi_str_int(sv_str s, int64_t min, int64_t max, int64_t *value_out);

/* Well-formed UTF-8 by RFC 3629 (no surrogates, over-long forms or code points over 10FFFF). */
bool svi_utf8_valid(sv_str s);

/* Bytes of the well-formed UTF-8 sequence at the front of `s` (1 to 4) and its code point; 0 if there is
 * none (empty, broken or cut off). */
size_t svi_utf8_step(sv_str s, uint32_t *code_out);

/* Compares without a hint by time; both lengths are public. */
bool svi_str_eq_secret(sv_str a, sv_str b);

/* Edits between two words (Levenshtein), capped at `cap`; for "did you mean". Words over 64 bytes are
 * never near each other: `cap`. */
size_t svi_str_distance(sv_str a, sv_str b, size_t cap);

/* SipHash-2-4 with the process's random key: for tables whose keys peers choose. Set the key once, before
 * threads start (svi_hash_seed). */
uint64_t svi_hash(sv_str s);

/* Sets the key of svi_hash (all zero before). Only while no table that uses it is alive. */
void svi_hash_seed(const uint8_t key[16]);

/* A byte buffer that grows; data may be NULL while cap is 0. Single owner. */
typedef struct svi_buf {
    svi_acct *acct;
    char *data;
    size_t len;
    size_t cap;
} svi_buf;

/* Makes an empty buffer without memory; what it will take is charged to `acct`. */
void svi_buf_init(svi_buf *buf, svi_acct *acct);

/* Frees the memory, leaves an empty buffer that can be used again. */
void svi_buf_free(svi_buf *buf);

/* Length 0, memory kept. */
void svi_buf_clear(svi_buf *buf);

/* Room for `bytes` more at the end, not yet counted: write there, then add to `len`. */
char *svi_buf_space(svi_buf *buf, size_t bytes);

/* Appends bytes; `s` must not lie in the buffer itself (asserted). */
void svi_buf_put(svi_buf *buf, sv_str s);

/* Appends one byte. */
void svi_buf_putc(svi_buf *buf, char c);

/* Appends a number in decimal. */
void svi_buf_int(svi_buf *buf, int64_t value);

/* Appends what printf would print. */
void svi_buf_printf(svi_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops `bytes` at the front (asserts that there are so many); the rest moves down. */
void svi_buf_consume(svi_buf *buf, size_t bytes);

/* All bytes, borrowed until the next change. */
sv_str svi_buf_str(const svi_buf *buf);

/* Base64 with padding (RFC 4648 4). Decoding is strict: no white space, no missing padding, no stray bits;
 * SV_EINVAL otherwise. Both append to the buffer. */
void svi_base64_put(svi_buf *buf, sv_str raw);
sv_status svi_base64_get(svi_buf *buf, sv_str text);

/* Lower-case hexadecimal, appended. */
void svi_hex_put(svi_buf *buf, sv_str raw);

/* The same into memory that is there: writing fills svi_base64_bytes(raw.n) bytes, or 2 * raw.n; reading needs
 * text.n / 4 * 3 and says in *n_out how many count. No NUL follows. */
size_t svi_base64_bytes(size_t raw_bytes);
void svi_base64_write(char *to, sv_str raw);
sv_status svi_base64_read(char *to, sv_str text, size_t *n_out);
void svi_hex_write(char *to, sv_str raw);

/* Fills `err`, keeps to its size, returns `code`. `err` may be NULL. */
sv_status svi_err(sv_err *err, sv_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Short static name of a status: "not-found". */
const char *svi_status_name(sv_status status);

#endif
