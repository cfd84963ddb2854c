/* What /proc tells of this process's memory. */
#include "main/main_resident.h"

#include <stdio.h>
#include <unistd.h>

#include "base/base_str.h"

int64_t svi_resident_bytes(void)
{
    int64_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    char line[128] = "";
    if (file && fgets(line, sizeof line, file)) {
        sv_str rest = sv_str_of(line), word;
        int64_t number = 0;
        (void)svi_str_split(&rest, ' ', &word); /* size; then what is resident */
        if (svi_str_split(&rest, ' ', &word) && svi_str_int(word, 0, INT64_MAX, &number) == SV_OK)
            pages = number;
    }
    if (file) (void)fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}
