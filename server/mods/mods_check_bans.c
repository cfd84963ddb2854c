/* Functions that a module must not call, and what it uses instead. */
#include "mods/mods_check.h"

#include <string.h>

#include "base/base_str.h"

#define PART(array) (array), sizeof(array) / sizeof *(array)

/* A name that ends with '*' stands for all that begin so. Names are as name_of makes them. */

static const char *const threads[] = {
    "pthread_*", "thrd_*", "tss_*",      "mtx_*",       "cnd_*",       "call_once",    "sem_*",
    "uv_*",      "tls_get_addr", "cxa_thread_atexit*", "timer_create", "makecontext",
    "swapcontext", "setcontext", "aio_*", "lio_listio", "getaddrinfo_a", "mq_notify"};

static const char *const exits[] = {"atexit",           "at_quick_exit", "on_exit",
                                    "cxa_atexit",       "cxa_at_quick_exit",
                                    "register_atfork", "pthread_atfork"};

static const char *const signals[] = {
    "signal",      "bsd_signal",  "sysv_signal", "sigaction", "sigset",     "sigprocmask",
    "sigaltstack", "siginterrupt", "sigqueue",   "sigwait*",  "sigtimedwait", "sigsuspend",
    "sigpause",    "sigignore",   "sighold",     "sigrelse",  "sigstack",   "sigvec",
    "sigblock",    "sigsetmask",  "signalfd",    "setitimer", "alarm",      "ualarm"};

static const char *const processes[] = {
    "fork",  "vfork",  "clone",  "clone2", "clone3", "posix_spawn*", "system", "popen", "exec*", "fexecve",
    "wait",  "waitpid", "waitid", "wait3", "wait4",  "daemon", "forkpty", "setsid", "ptrace", "unshare",
    "setns"};

static const char *const loading[] = {"dlopen", "dlmopen", "dlclose", "dlsym", "dlvsym", "libc_dl*"};

static const char *const ending[] = {"exit",  "Exit",  "quick_exit", "kill", "killpg", "tgkill",
                                     "raise", "gsignal", "psignal"};

static const char *const whole[] = {
    "setlocale", "uselocale", "setenv",   "putenv",    "unsetenv",  "clearenv", "chdir",   "fchdir",
    "chroot",    "umask",     "setuid",   "setgid",    "seteuid",   "setegid",  "setreuid", "setregid",
    "setresuid", "setresgid", "setgroups", "initgroups", "setpgid", "setrlimit", "prlimit", "prctl",
    "nice",      "setpriority", "sched_set*", "mallopt",
    "personality", "reboot",  "mount",    "umount*",   "ioperm",    "iopl",      "capset"};

static const char *const memory[] = {"malloc",  "calloc",         "realloc", "reallocarray", "memalign",
                                     "aligned_alloc", "posix_memalign", "valloc", "pvalloc", "strdup",
                                     "strndup", "wcsdup", "asprintf", "vasprintf", "open_memstream",
                                     "open_wmemstream", "fmemopen", "obstack_*"};

static const char *const mapping[] = {"mmap",   "munmap", "mremap", "mprotect", "pkey_*", "brk",     "sbrk",
                                      "shm_*",  "shmat",  "shmget", "shmdt",    "madvise", "posix_madvise",
                                      "memfd_create", "mlock*", "munlock*", "remap_file_pages", "process_vm_*"};

static const char *const files[] = {
    "open",      "openat*",  "open_by_handle_at", "open_2", "open64_2", "creat", "read", "write", "pread", "pwrite",
    "preadv*",   "pwritev*", "readv",    "writev",   "lseek",    "close",    "close_range", "closefrom",
    "dup",       "dup2",     "dup3",     "pipe",     "pipe2",    "fcntl",    "ioctl",   "flock",    "lockf",
    "fsync",     "fdatasync", "sync",    "syncfs",   "truncate", "ftruncate", "posix_fallocate", "fallocate",
    "posix_fadvise", "sendfile", "splice", "tee", "vmsplice", "copy_file_range",
    "stat",      "fstat",    "lstat",    "fstatat",  "statx",    "xstat",    "fxstat",  "lxstat",   "fxstatat",
    "statfs",    "fstatfs",  "statvfs",  "fstatvfs", "access",   "faccessat", "euidaccess", "eaccess",
    "chmod",     "fchmod*",  "lchmod",   "chown",    "fchown*",  "lchown",   "utime*",  "utimensat", "futime*",
    "link",      "linkat",   "symlink*", "readlink*", "unlink*", "remove",   "rename*", "mkdir*",   "rmdir",
    "mknod*",    "mkfifo*",  "realpath", "canonicalize_file_name", "getcwd", "get_current_dir_name",
    "opendir",   "fdopendir", "readdir*", "scandir*", "ftw",     "nftw",     "fts_*",   "glob",     "wordexp",
    "fopen",     "fdopen",   "freopen",  "fclose",   "fread",    "fgets",    "fgetc",   "getc",     "fscanf",
    "vfscanf",   "fseek*",   "ftell*",   "rewind",   "ferror",   "feof",     "fileno",  "getline",  "getdelim",
    "getw",      "tmpfile",  "mkstemp*", "mkostemp*", "mkdtemp", "inotify_*", "fanotify_*",
    "eventfd*",  "timerfd_*", "epoll_*", "io_uring_*", "name_to_handle_at", "isatty", "ttyname*", "tc[gs]*",
    "openpty",   "posix_openpt"};

static const char *const sockets[] = {
    "socket",   "socketpair", "connect",  "bind",     "listen",   "accept",    "accept4",   "shutdown",
    "send",     "sendto",     "sendmsg",  "sendmmsg", "recv",     "recvfrom",  "recvmsg",   "recvmmsg",
    "getsockopt", "setsockopt", "getsockname", "getpeername", "poll", "ppoll", "select", "pselect",
    "getaddrinfo", "getnameinfo", "gethostby*", "getservby*", "getnetby*", "getprotoby*", "res_*", "ns_*",
    "getifaddrs", "if_nameindex", "msgget", "msgsnd", "msgrcv", "semget", "semop", "semtimedop", "mq_*"};

static const char *const blocking[] = {
    "sleep",    "usleep",   "nanosleep", "clock_nanosleep", "thrd_sleep", "pause", "sched_yield",
    "getpw*",   "getgr*",   "getspnam*", "getspent*", "getlogin*", "gethostname", "getpass", "futex*"};

static const char *const output[] = {
    "printf",  "vprintf",  "fprintf",  "vfprintf", "dprintf",  "vdprintf", "puts",    "fputs", "putchar",
    "putc",    "fputc",    "fwrite",   "fflush",   "perror",   "stdout",   "stderr",  "stdin", "scanf",
    "vscanf",  "getchar",  "setbuf",   "setbuffer", "setlinebuf", "setvbuf", "syslog", "vsyslog", "openlog",
    "closelog", "warn",    "warnx",    "vwarn",    "vwarnx",   "err",      "errx",    "verr",  "verrx",
    "error",   "error_at_line", "psiginfo", "IO_2_1_*", "putw"};

static const char *const clocks[] = {"time",  "gettimeofday", "clock_gettime", "clock", "ftime", "timespec_get",
                                     "times", "getrusage", "clock_getres", "clock_getcpuclockid"};

static const char *const local_times[] = {"localtime*", "mktime", "timelocal", "tzset", "ctime*", "getdate*"};

static const char *const randomness[] = {"rand",    "rand_r",  "srand",   "random",   "random_r", "srandom*",
                                         "initstate*", "setstate*", "drand48*", "erand48*", "lrand48*",
                                         "nrand48*", "mrand48*", "jrand48*", "srand48*", "seed48*", "lcong48*",
                                         "getrandom", "getentropy", "arc4random*"};

static const char *const environment[] = {"getenv", "secure_getenv", "environ", "progname*",
                                          "program_invocation_*", "getauxval"};

static const char *const around[] = {"syscall"};

/* Groups of functions, and why a module has none of them. */
typedef struct ban {
    const char *const *names;
    size_t count;
    const char *why;
    bool spares_engines; /* a library that they are for needs it, in threads of its own */
} ban;

static const ban bans[] = {
    {PART(exits), "a module leaves nothing to run at exit; free things in stop()", false},
    {PART(threads), "a module never starts a thread, takes a lock or leaves something in a thread; it has "
                    "the router's to itself, for as long as a handler runs", true},
    {PART(signals), "signals belong to the server; for timers there is sv->every", false},
    {PART(processes), "a module starts no process", false},
    {PART(loading), "a module loads no code", false},
    {PART(ending), "a module does not end the server; if it can't go on, start() says so, or a handler "
                   "refuses", false},
    {PART(whole), "it would change the whole process", false},
    {PART(memory), "memory comes from sv->alloc, which counts it and frees it with the module; for one event "
                   "there is sv->scratch", true},
    {PART(mapping), "a module maps no memory; it comes from sv->alloc, where it is counted", true},
    {PART(sockets), "a module opens no sockets and waits for none; what must is an engine", true},
    {PART(blocking), "a handler never waits, all others would wait with it: say SV_LATER, or use sv->every", true},
    {PART(files), "a module sees no files or descriptors: what it keeps goes into a store "
                  "(sv->store_open), what the operator decides into options or a file (sv->follow_file)", true},
    {PART(output), "nobody reads what a module prints: use sv->log", true},
    {PART(clocks), "the time comes from sv->now_s and sv->now_ms, so that tests can set it", true},
    {PART(local_times), "the server's times are in UTC: use sv->stamp", true},
    {PART(randomness), "random bytes come from sv->random_hex", true},
    {PART(environment), "a module is told by its options, not by the environment", true},
    {PART(around), "it would go round this check", false},
};

/* The name without what marks it as one of several forms of the same function: `__open64`, `__isoc99_fscanf`,
 * `__fprintf_chk`, `fwrite_unlocked`. */
static sv_str name_of(sv_str name)
{
    static const char *const fronts[] = {"libc_", "isoc99_", "isoc23_", "GI_"};
    static const char *const ends[] = {"_chk", "64", "_unlocked", "_nocancel"};
    while (svi_str_starts(name, SV_STR("_"))) name = svi_str_sub(name, 1, name.n);
    for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++)
        if (svi_str_starts(name, sv_str_of(fronts[i])) && !svi_str_starts(name, SV_STR("libc_dl")))
            name = svi_str_sub(name, strlen(fronts[i]), name.n);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (svi_str_ends(name, sv_str_of(ends[i]))) name.n -= strlen(ends[i]);
    return name;
}

static bool is_meant(const char *banned, sv_str name)
{
    const sv_str text = sv_str_of(banned);
    return svi_str_ends(text, SV_STR("*")) ? svi_str_starts(name, (sv_str){text.p, text.n - 1})
                                           : sv_str_eq(text, name);
}

/* The first ban that a name falls under. */
static const ban *ban_of(sv_str name)
{
    for (size_t b = 0; b < sizeof bans / sizeof *bans; b++)
        for (size_t i = 0; i < bans[b].count; i++)
            if (is_meant(bans[b].names[i], name)) return &bans[b];
    return NULL;
}

const char *svi_mods_ban(sv_str function)
{
    const ban *of = ban_of(name_of(function));
    return of != NULL ? of->why : NULL;
}

const char *svi_mods_engine_ban(sv_str function)
{
    /* threads that libc makes on its own, at times that nobody knows */
    static const char *const hidden[] = {"timer_create", "getaddrinfo_a", "mq_notify", "aio_*", "lio_listio"};
    const sv_str name = name_of(function);
    const ban *of = ban_of(name);
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (is_meant(hidden[i], name)) return of->why;
    return of != NULL && !of->spares_engines ? of->why : NULL;
}
