/* For the tests of this folder: where the built modules lie, beside the test program's own folder. */
#ifndef SVI_MODS_TESTING_H
#define SVI_MODS_TESTING_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_testing.h"

enum { TESTING_PATH = 1024 };

/* The folder of the build that the running test belongs to (build/KIND). */
static inline void testing_build(char to[TESTING_PATH])
{
    const ssize_t n = readlink("/proc/self/exe", to, TESTING_PATH - 1);
    assert_true(n > 0);
    to[n] = '\0';
    for (int up = 0; up < 3; up++) { /* server/mods/NAME_test */
        char *slash = strrchr(to, '/');
        assert_non_null(slash);
        *slash = '\0';
    }
}

/* A path below it. */
static inline void testing_path(const char *below, char to[TESTING_PATH])
{
    char build[TESTING_PATH];
    testing_build(build);
    const int n = snprintf(to, TESTING_PATH, "%.900s/%s", build, below);
    assert_in_range(n, 1, TESTING_PATH - 1);
}

#endif
