/* Fuzzes the configuration: any file is read or refused with a place and a reason, within the sandbox's bounds, and nothing is
 * left of it. */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "main/main_settings.h"

static svi_acct books = {.name = "fuzz"};

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "fuzz_config.c:%d: does not hold: %s\n", __LINE__, #e);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Settings of the whole server and of each host, as the server reads them. */
static void read_all(const svi_config *config, svi_problems *problems)
{
    const sv_status status = svi_settings_check(config, svi_problems_note, problems);
    MUST((status == SV_OK) == (problems->count == 0));
    svi_settings settings;
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(config, i)) != NULL; i++) {
        MUST(section->file != NULL && section->line >= 0);
        const sv_status one =
            svi_settings_read(config, section, &settings, svi_problems_note, problems);
        MUST(one == SV_OK || status != SV_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int fd = memfd_create("config", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    svi_problems problems;
    svi_config *config = NULL;
    svi_problems_init(&problems, &books);
    const sv_status status = svi_config_load(&books, path, svi_problems_note, &problems, &config);
    MUST((status == SV_OK) == (problems.count == 0));
    if (status == SV_OK) read_all(config, &problems);
    if (config) svi_config_free(&config);
    svi_problems_free(&problems);
    (void)close(fd);
    MUST(atomic_load(&books.live_bytes) == 0);
    return 0;
}
