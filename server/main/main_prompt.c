/* Reading passwords. */
#include "main/main_prompt.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

/* One line of standard input, byte by byte: what follows it is not ours. */
static sv_status read_line(char to[SVI_PASSWORD_BYTES], sv_err *err)
{
    size_t n = 0;
    for (;;) {
        char c;
        const ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || c == '\n') break;
        if (c == '\0') return svi_err(err, SV_EINVAL, "the password holds a zero byte");
        if (n == SVI_PASSWORD_BYTES - 1)
            return svi_err(err, SV_EINVAL, "the password is longer than %u bytes",
                           SVI_PASSWORD_BYTES - 1);
        to[n++] = c;
    }
    if (n > 0 && to[n - 1] == '\r') n--;
    to[n] = '\0';
    return n > 0 ? SV_OK : svi_err(err, SV_EINVAL, "no password was given");
}

/* Asks on the terminal with echo off. An interrupt leaves by the default action, after the shell's own restore. */
static sv_status ask(const char *question, const char *address, char to[SVI_PASSWORD_BYTES],
                     sv_err *err)
{
    struct termios before;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return svi_err(err, SV_EIO, "the terminal can't be set: %s", strerror(errno));
    struct termios silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    (void)fprintf(stderr, "%s %s: ", question, address);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    const sv_status status = read_line(to, err);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    (void)fputc('\n', stderr);
    return status;
}

sv_status svi_prompt_password(const char *address, char to[SVI_PASSWORD_BYTES], sv_err *err)
{
    if (!isatty(STDIN_FILENO)) return read_line(to, err);
    char again[SVI_PASSWORD_BYTES];
    sv_status status = ask("New password for", address, to, err);
    if (status == SV_OK) status = ask("The same again for", address, again, err);
    if (status == SV_OK && !sv_str_eq(sv_str_of(to), sv_str_of(again)))
        status = svi_err(err, SV_EINVAL, "the two passwords differ; nothing was changed");
    OPENSSL_cleanse(again, sizeof again);
    return status;
}
