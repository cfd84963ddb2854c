/* The check of module images: real modules, good and bad, and images that are cut or damaged. */
#include "mods/mods_check.h"

#include <elf.h>
#include <link.h>

#include "mods/mods_testing.h"

typedef struct image {
    uint8_t *bytes;
    size_t size;
} image;

static image read_image(const char *below)
{
    char path[TESTING_PATH];
    testing_path(below, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail_msg("%s is missing: build it with `make tests`", path);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    image im = {.bytes = malloc((size_t)st.st_size), .size = (size_t)st.st_size};
    assert_non_null(im.bytes);
    assert_int_equal(read(fd, im.bytes, im.size), st.st_size);
    close(fd);
    return im;
}

static sv_status check(const image *im, sv_err *err)
{
    err->text[0] = '\0';
    return svi_mods_check_image(im->bytes, im->size, err);
}

static void assert_refused(const image *im, const char *part)
{
    sv_err err;
    assert_int_equal(check(im, &err), SV_EINVAL);
    if (strstr(err.text, part) == NULL) fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static void good_modules_pass(void **state)
{
    (void)state;
    static const char *const good[] = {
        "modules/ping.so",    "modules/offline.so", "modules/roster.so",  "modules/presence.so",
        "modules/message.so", "modules/disco.so",   "modules/groups.so",  "modules/blocking.so",
        "modules/caps.so",    "modules/carbons.so", "modules/csi.so", "tests/mods/probe.so"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        image im = read_image(good[i]);
        sv_err err;
        if (check(&im, &err) != SV_OK) fail_msg("%s: %s", good[i], err.text);
        free(im.bytes);
    }
}

/* Each is a real object that the compiler and the linker made so. */
static void bad_modules_are_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"exports", "exports helper_that_clashes"},
        {"constructor", "has a constructor"},
        {"destructor", "has a destructor"},
        {"ifunc", "chooses functions while it is loaded"},
        {"thread", "calls pthread_create: a module never starts a thread"},
        {"tls", "thread-local"},
        {"exit", "calls __cxa_atexit: a module leaves nothing to run at exit; free things in stop()"},
        {"stack", "make the stacks of the whole process executable: link with -z noexecstack"},
        {"segment", "has code that can be written to"},
        {"rpath", "names folders for libraries (DT_RUNPATH or DT_RPATH)"},
        {"library", "needs the library libuv.so.1, whose code would run unchecked: link it statically"},
        {"nodelete", "linked with -z nodelete"},
        {"init", "has a start function of its own (DT_INIT)"},
#ifdef __x86_64__
        {"init_code", "has a start function of its own (DT_INIT)"},
#endif
        {"textrel", "has text relocations: build with -fPIC"},
        {"server", "takes svi_session_end from the server: a module calls it through the table"},
        {"call_pthread_mutex_lock", "calls pthread_mutex_lock: a module never starts a thread, takes a lock"},
        {"call_atexit", "free things in stop()"}, /* __cxa_atexit, or atexit of libc_nonshared */
        {"call_sigaction", "calls sigaction: signals belong to the server; for timers there is sv->every"},
        {"call_fork", "calls fork: a module starts no process"},
        {"call_execve", "calls execve: a module starts no process"},
        {"call_dlopen", "calls dlopen: a module loads no code"},
        {"call_raise", "calls raise: a module does not end the server"},
        {"call_chdir", "calls chdir: it would change the whole process"},
        {"call_mprotect", "calls mprotect: a module maps no memory; it comes from sv->alloc"},
        {"call_socket", "calls socket: a module opens no sockets and waits for none; what must is an engine"},
        {"call_poll", "calls poll: a module opens no sockets"},
        {"call_nanosleep", "calls nanosleep: a handler never waits, all others would wait with it: say SV_LATER"},
        {"call_fopen", "calls fopen: a module sees no files or descriptors: what it keeps goes into a store"},
        {"call_read", "calls read: a module sees no files"},
        {"call_printf", "calls printf: nobody reads what a module prints: use sv->log"},
        {"call_time", "calls time: the time comes from sv->now_s and sv->now_ms"},
        {"call_localtime", "calls localtime: the server's times are in UTC: use sv->stamp"},
        {"call_getrandom", "calls getrandom: random bytes come from sv->random_hex"},
        {"call_getenv", "calls getenv: a module is told by its options"},
        {"call_syscall", "calls syscall: it would go round this check"},
        {"call_malloc", "calls malloc: memory comes from sv->alloc, which counts it and frees it with the module"},
        {"call_strdup", "calls strdup: memory comes from sv->alloc"},
        {"call__Znwm", "needs the C++ runtime (_Znwm)"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/mods/bad_%s.so", bad[i][0]);
        image im = read_image(path);
        assert_refused(&im, bad[i][1]);
        free(im.bytes);
    }
}

/* The same function under its other names, and what looks like one but is none. */
static void other_forms_count_as_the_function(void **state)
{
    (void)state;
    static const char *const banned[] = {
        "open64",   "__open64_2",  "__fprintf_chk", "fwrite_unlocked", "__isoc99_fscanf",  "__isoc23_fscanf",
        "__fork",   "_exit",       "_Exit",         "__poll_chk",      "__libc_dlopen_mode", "__pread64_chk",
        "stdout",   "_IO_2_1_stderr_", "__fxstat64", "execvpe",        "pthread_setname_np", "uv_default_loop",
        "__res_init", "__xstat",   "sem_init",      "getpwnam_r",      "inotify_add_watch", "__tls_get_addr",
        "__cxa_atexit", "__libc_calloc", "__asprintf_chk", "thrd_create", "posix_spawnp", "timer_create", "preadv64v2", "__clock_gettime64"};
    static const char *const fine[] = {
        "memcpy", "strlen", "snprintf", "__snprintf_chk", "__isoc99_sscanf", "qsort", "bsearch", "abort",
        "__assert_fail", "__errno_location", "__stack_chk_fail", "__cxa_finalize", "free", "strtoll", "gmtime_r",
        "__ctype_b_loc", "opens", "timed", "", "_", "*", "clo", "XML_ParserCreate", "__gmon_start__"};
    for (size_t i = 0; i < sizeof banned / sizeof *banned; i++)
        if (svi_mods_ban(sv_str_of(banned[i])) == NULL) fail_msg("%s may be called", banned[i]);
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        if (svi_mods_ban(sv_str_of(fine[i])) != NULL) fail_msg("%s may not be called", fine[i]);
}

/* What a library needs an engine may have; what reaches beyond its threads, or outlives it, it may not. */
static void engines_are_spared(void **state)
{
    (void)state;
    static const char *const fine[] = {"pthread_create", "__tls_get_addr", "socket", "open64", "malloc", "poll",
                                       "clock_gettime", "getenv", "fprintf", "pthread_sigmask", "memcpy"};
    static const char *const banned[] = {"atexit", "__cxa_atexit", "pthread_atfork", "fork", "dlopen", "sigaction",
                                         "signal", "exit", "setlocale", "setenv", "syscall", "timer_create",
                                         "getaddrinfo_a", "aio_read", "mq_notify"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        if (svi_mods_engine_ban(sv_str_of(fine[i])) != NULL) fail_msg("%s may not be called", fine[i]);
    for (size_t i = 0; i < sizeof banned / sizeof *banned; i++)
        if (svi_mods_engine_ban(sv_str_of(banned[i])) == NULL) fail_msg("%s may be called", banned[i]);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    uint8_t text[] = "#!/bin/sh\nexit 0\n";
    assert_refused(&(image){text, sizeof text}, "no shared object");
    assert_refused(&(image){text, 0}, "no shared object");
    char self[TESTING_PATH];
    testing_build(self);
    image program = read_image(
        "server/mods/mods_check_test"); /* a position-independent program is much like an object */
    sv_err err;
    assert_int_equal(check(&program, &err), SV_EINVAL);
    free(program.bytes);
}

static void other_machines_are_refused(void **state)
{
    (void)state;
    image im = read_image("modules/ping.so");
    ElfW(Ehdr) *head = (ElfW(Ehdr) *)(void *)im.bytes;
    head->e_machine = head->e_machine == EM_SPARC ? EM_MIPS : EM_SPARC;
    assert_refused(&im, "another kind of machine");
    free(im.bytes);
}

/* Overwrites the first occurrence of a name in the image by another of the same length. */
static void rename_symbol(image *im, const char *from, const char *to)
{
    const size_t n = strlen(from) + 1;
    assert_int_equal(strlen(to) + 1, n);
    uint8_t *at = memmem(im->bytes, im->size, from, n);
    assert_non_null(at);
    memcpy(at, to, n);
}

static void entry_must_be_there(void **state)
{
    (void)state;
    image im = read_image("modules/ping.so");
    rename_symbol(&im, "sv_module_entry", "sv_module_entri");
    assert_refused(&im, "exports sv_module_entri");
    free(im.bytes);
}

static void imports_by_name(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"svi_session_fi", "takes svi_session_fi from the server"},
        {"_ZNSt9somethin", "C++ runtime"},
        {"thrd_create", "never starts a thread"},
        {"posix_spawn", "starts no process"},
        {"dlopen", "loads no code"},
        {"signal", "signals belong"},
        {"fork", "starts no process"},
        {"_exit", "does not end the server"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        image im = read_image("tests/mods/bad_thread.so");
        char from[] = "pthread_create";
        uint8_t *at = memmem(im.bytes, im.size, from, sizeof from);
        assert_non_null(at);
        assert_true(strlen(names[i][0]) < sizeof from);
        memcpy(at, names[i][0], strlen(names[i][0]) + 1);
        assert_refused(&im, names[i][1]);
        free(im.bytes);
    }
}

/* Finds the program header of a kind; the image is one of ours, so its offsets are sound. */
static ElfW(Phdr) * segment_of(const image *im, unsigned kind)
{
    const ElfW(Ehdr) *head = (const ElfW(Ehdr) *)(const void *)im->bytes;
    for (size_t i = 0; i < head->e_phnum; i++) {
        ElfW(Phdr) *segment =
            (ElfW(Phdr) *)(void *)(im->bytes + head->e_phoff + i * sizeof(ElfW(Phdr)));
        if (segment->p_type == kind) return segment;
    }
    fail_msg("no segment of kind %u", kind);
    return NULL;
}

static ElfW(Dyn) * dynamic_of(const image *im, long tag)
{
    ElfW(Dyn) *entry = (ElfW(Dyn) *)(void *)(im->bytes + segment_of(im, PT_DYNAMIC)->p_offset);
    for (; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == tag) return entry;
    fail_msg("no dynamic entry %ld", tag);
    return NULL;
}

static void tricks_are_refused(void **state)
{
    (void)state;
    image im = read_image("modules/ping.so");
    const image same = {malloc(im.size), im.size};
    memcpy(same.bytes, im.bytes, im.size);

    dynamic_of(&im, DT_INIT)->d_un.d_val += 16;
    assert_refused(&im, "a start function of its own");
    memcpy(im.bytes, same.bytes, im.size);

    dynamic_of(&im, DT_INIT)->d_tag =
        DT_DEBUG; /* no start files: then even one constructor is the module's */
    assert_refused(&im, "has a constructor");
    memcpy(im.bytes, same.bytes, im.size);

    dynamic_of(&im, DT_FLAGS)->d_un.d_val |= DF_TEXTREL;
    assert_refused(&im, "text relocations");
    memcpy(im.bytes, same.bytes, im.size);

    dynamic_of(&im, DT_FLAGS_1)->d_un.d_val |= DF_1_NODELETE;
    assert_refused(&im, "nodelete");
    memcpy(im.bytes, same.bytes, im.size);

    dynamic_of(&im, DT_GNU_HASH)->d_un.d_val = 0x7fffffff;
    assert_refused(&im, "symbol table can't be read");
    memcpy(im.bytes, same.bytes, im.size);

    dynamic_of(&im, DT_FINI)->d_un.d_val += 4;
    assert_refused(&im, "an end function of its own (DT_FINI): modules stay loaded; use stop()");
    memcpy(im.bytes, same.bytes, im.size);

    dynamic_of(&im, DT_FINI)->d_tag = DT_FILTER;
    assert_refused(&im, "has other objects loaded in its place");
    memcpy(im.bytes, same.bytes, im.size);

    dynamic_of(&im, DT_FINI)->d_tag = DT_RPATH;
    assert_refused(&im, "names folders for libraries");
    memcpy(im.bytes, same.bytes, im.size);

    dynamic_of(&im, DT_RELA)->d_tag = DT_REL; /* a form that this machine does not use */
    assert_refused(&im, "relocations can't be read");
    memcpy(im.bytes, same.bytes, im.size);

    segment_of(&im, PT_GNU_STACK)->p_type = PT_NOTE; /* unsaid: the loader takes it for yes */
    assert_refused(&im, "stacks of the whole process executable");
    memcpy(im.bytes, same.bytes, im.size);

    segment_of(&im, PT_DYNAMIC)->p_type = PT_NOTE;
    assert_refused(&im, "no dynamic section");

    free(same.bytes);
    free(im.bytes);
}

/* A symbol that the loader would find, but that stands behind those that the hash table tells of. */
static void hidden_symbols_are_refused(void **state)
{
    (void)state;
    image im = read_image("modules/ping.so");
    const ElfW(Dyn) *table = dynamic_of(&im, DT_RELA);
    const size_t offset = table->d_un.d_ptr; /* the first segment is loaded as it lies in the file */
    ElfW(Rela) *first = (ElfW(Rela) *)(void *)(im.bytes + offset);
    first->r_info += (ElfW(Xword))5000 << 32;
    assert_refused(&im, "name symbols that are not in its table");
    free(im.bytes);
}

/* Cut at every length near the start and many behind it: never read behind the end (the sanitizer watches), never accepted
 * before the symbols are there. */
static void cut_images_are_safe(void **state)
{
    (void)state;
    image im = read_image("modules/ping.so");
    for (size_t n = 0; n < im.size; n += n < 2048 ? 1 : 61) {
        image cut = {malloc(n > 0 ? n : 1), n};
        memcpy(cut.bytes, im.bytes, n);
        sv_err err;
        const sv_status status = check(&cut, &err);
        if (n < 2048) assert_int_equal(status, SV_EINVAL);
        free(cut.bytes);
    }
    free(im.bytes);
}

static void damaged_images_are_safe(void **state)
{
    (void)state;
    image im = read_image("modules/ping.so");
    const ElfW(Phdr) *dynamic = segment_of(&im, PT_DYNAMIC);
    const size_t places[][2] = {{0, 1024}, {dynamic->p_offset, dynamic->p_filesz}};
    uint32_t seed = 12345;
    size_t refused = 0;
    for (size_t p = 0; p < 2; p++) {
        for (size_t at = places[p][0]; at < places[p][0] + places[p][1]; at++) {
            const uint8_t was = im.bytes[at];
            seed = seed * 1664525u + 1013904223u;
            im.bytes[at] = (uint8_t)(seed >> 24);
            sv_err err;
            if (check(&im, &err) != SV_OK) refused++;
            im.bytes[at] = was;
        }
    }
    assert_in_range(refused, 100, 4096); /* some bytes do not matter, many do */
    sv_err err;
    assert_int_equal(check(&im, &err), SV_OK);
    free(im.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_modules_pass),       cmocka_unit_test(bad_modules_are_refused),
        cmocka_unit_test(other_files_are_refused), cmocka_unit_test(other_machines_are_refused),
        cmocka_unit_test(entry_must_be_there),     cmocka_unit_test(imports_by_name),
        cmocka_unit_test(tricks_are_refused),      cmocka_unit_test(cut_images_are_safe),
        cmocka_unit_test(damaged_images_are_safe), cmocka_unit_test(engines_are_spared), cmocka_unit_test(other_forms_count_as_the_function),
        cmocka_unit_test(hidden_symbols_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
