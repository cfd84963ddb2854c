/* What the server's processes cost, by the kernel's own clocks. */
#include "load.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t load_cpu_ns(int pid)
{
    clockid_t clock;
    struct timespec spent;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) != 0)
        load_die("process %d is gone", pid);
    return (int64_t)spent.tv_sec * 1000000000 + spent.tv_nsec;
}

/* First field of schedstat: ns on a CPU. */
static int64_t thread_ns(int pid, int tid)
{
    char path[64];
    long long ns = -1;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", pid, tid);
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    if (fscanf(file, "%lld", &ns) != 1) ns = -1;
    (void)fclose(file);
    return ns;
}

void load_threads_note(load_threads *threads, int pid)
{
    char path[64];
    *threads = (load_threads){.pid = pid};
    (void)snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (!dir) load_die("process %d is gone", pid);
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL && threads->count < 128) {
        const int tid = (int)strtol(entry->d_name, NULL, 10);
        if (tid <= 0) continue;
        threads->thread[threads->count].tid = tid;
        threads->thread[threads->count].ns = thread_ns(pid, tid);
        threads->count++;
    }
    (void)closedir(dir);
}

void load_threads_print(const load_threads *threads, double operations)
{
    for (int i = 0; i < threads->count; i++) {
        const int tid = threads->thread[i].tid;
        const int64_t ns = thread_ns(threads->pid, tid) - threads->thread[i].ns;
        if (ns <= 0 || operations <= 0) continue;
        char path[64], name[32] = "?";
        (void)snprintf(path, sizeof path, "/proc/%d/task/%d/comm", threads->pid, tid);
        FILE *file = fopen(path, "r");
        if (file && fgets(name, sizeof name, file)) name[strcspn(name, "\n")] = 0;
        if (file) (void)fclose(file);
        for (char *p = name; *p; p++)
            if (*p == ' ') *p = '-';
        printf("thread %s:%d %.2f\n", name, i, (double)ns / 1e3 / operations);
    }
}
