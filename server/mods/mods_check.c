/* Reads a module's ELF image as the dynamic loader will, and refuses what a module must not do (house-style C.3).
 *
 * The image may be anything: every offset is checked against its size before it is used. */
#include "mods/mods_check.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "base/base_assert.h"
#include "base/base_str.h"

enum { SYMBOLS_MAX = 1000000, LIBRARIES_MAX = 32 };

typedef ElfW(Ehdr) elf_head;
typedef ElfW(Phdr) elf_segment;
typedef ElfW(Shdr) elf_section;
typedef ElfW(Dyn) elf_dynamic;
typedef ElfW(Sym) elf_symbol;
typedef ElfW(Addr) elf_address;
#define ELF_SYMBOL(info) (sizeof(elf_address) == 8 ? (info) >> 32 : (info) >> 8)
typedef ElfW(Rela) elf_relocation;

/* What the dynamic section tells; addresses are the object's own. */
typedef struct dynamic {
    bool has_init, has_fini, has_text_relocations, stays, has_folders, has_others, has_short_relocations;
    elf_address init, fini, symbols, strings, hash, gnu_hash, rela, plt_rela;
    size_t strings_bytes, init_array_bytes, fini_array_bytes, rela_bytes, plt_rela_bytes;
    size_t plt_kind;
    size_t libraries[LIBRARIES_MAX]; /* places of their names in the strings */
    size_t library_count;            /* also of those for which there is no room */
} dynamic;

typedef struct image {
    const uint8_t *bytes;
    size_t size;
    elf_head head;
    dynamic dyn;
    size_t symbol_count;
    bool is_engine; /* has the mark of SV_ENGINE */
    sv_err *err;
} image;

extern const elf_head __ehdr_start; /* of the running program, made by the linker */

/* --- reading -------------------------------------------------------------------------------------- */

static bool get(const image *im, size_t offset, void *to, size_t n)
{
    if (offset > im->size || n > im->size - offset) return false;
    memcpy(to, im->bytes + offset, n);
    return true;
}

static bool segment_at(const image *im, size_t i, elf_segment *to)
{
    return i < im->head.e_phnum && im->head.e_phoff <= im->size &&
           get(im, im->head.e_phoff + i * sizeof *to, to, sizeof *to);
}

/* Where in the file the object's address lies, with at least one byte behind it; false if it is not loaded from the file. */
static bool offset_of(const image *im, elf_address address, size_t *offset_out)
{
    elf_segment segment;
    for (size_t i = 0; segment_at(im, i, &segment); i++) {
        if (segment.p_type != PT_LOAD || address < segment.p_vaddr ||
            address - segment.p_vaddr >= segment.p_filesz)
            continue;
        if (segment.p_offset > im->size) return false;
        *offset_out = segment.p_offset + (size_t)(address - segment.p_vaddr);
        return true;
    }
    return false;
}

static bool get_at(const image *im, elf_address address, void *to, size_t n)
{
    size_t offset;
    return offset_of(im, address, &offset) && get(im, offset, to, n);
}

/* A name in the dynamic string table; empty if it lies outside. */
static sv_str string_at(const image *im, size_t place)
{
    size_t offset;
    if (place >= im->dyn.strings_bytes || !offset_of(im, im->dyn.strings, &offset))
        return SV_STR_NONE;
    if (offset > im->size || place >= im->size - offset) return SV_STR_NONE;
    const char *text = (const char *)im->bytes + offset + place;
    const size_t room = im->size - offset - place;
    const size_t n = strnlen(text, room);
    return n < room ? (sv_str){text, n} : SV_STR_NONE;
}

static bool symbol_at(const image *im, size_t i, elf_symbol *to, sv_str *name_out)
{
    if (i >= im->symbol_count || !get_at(im, im->dyn.symbols + i * sizeof *to, to, sizeof *to))
        return false;
    *name_out = string_at(im, to->st_name);
    return true;
}

/* --- the parts ------------------------------------------------------------------------------------- */

static sv_status bad(const image *im, const char *why)
{
    return svi_err(im->err, SV_EINVAL, "%s", why);
}

static sv_status read_head(image *im)
{
    if (!get(im, 0, &im->head, sizeof im->head) || memcmp(im->head.e_ident, ELFMAG, SELFMAG) != 0)
        return bad(im, "it is no shared object");
    const elf_head *ours = &__ehdr_start;
    if (im->head.e_ident[EI_CLASS] != ours->e_ident[EI_CLASS] ||
        im->head.e_ident[EI_DATA] != ours->e_ident[EI_DATA] ||
        im->head.e_machine != ours->e_machine)
        return bad(im, "it is made for another kind of machine");
    if (im->head.e_type != ET_DYN || im->head.e_phentsize != sizeof(elf_segment))
        return bad(im, "it is no shared object");
    return SV_OK;
}

static void note_dynamic(dynamic *dyn, const elf_dynamic *entry)
{
    const elf_address value = entry->d_un.d_val;
    switch (entry->d_tag) {
    case DT_INIT:
        dyn->has_init = true;
        dyn->init = value;
        break;
    case DT_FINI:
        dyn->has_fini = true;
        dyn->fini = value;
        break;
    case DT_SYMTAB: dyn->symbols = value; break;
    case DT_STRTAB: dyn->strings = value; break;
    case DT_STRSZ: dyn->strings_bytes = value; break;
    case DT_HASH: dyn->hash = value; break;
    case DT_GNU_HASH: dyn->gnu_hash = value; break;
    case DT_RELA: dyn->rela = value; break;
    case DT_RELASZ: dyn->rela_bytes = value; break;
    case DT_JMPREL: dyn->plt_rela = value; break;
    case DT_PLTRELSZ: dyn->plt_rela_bytes = value; break;
    case DT_PLTREL: dyn->plt_kind = value; break;
    case DT_INIT_ARRAYSZ: dyn->init_array_bytes = value; break;
    case DT_FINI_ARRAYSZ: dyn->fini_array_bytes = value; break;
    case DT_RUNPATH:
    case DT_RPATH: dyn->has_folders = true; break;
    case DT_AUXILIARY:
    case DT_FILTER:
    case DT_AUDIT:
    case DT_DEPAUDIT: dyn->has_others = true; break;
    case DT_REL: dyn->has_short_relocations = true; break;
    case DT_NEEDED:
        if (dyn->library_count < LIBRARIES_MAX) dyn->libraries[dyn->library_count] = value;
        dyn->library_count++;
        break;
    case DT_TEXTREL: dyn->has_text_relocations = true; break;
    case DT_FLAGS:
        if (value & DF_TEXTREL) dyn->has_text_relocations = true;
        break;
    case DT_FLAGS_1:
        if (value & DF_1_NODELETE) dyn->stays = true;
        break;
    default: break;
    }
}

static bool has_thread_locals(const image *im)
{
    elf_segment segment;
    for (size_t i = 0; segment_at(im, i, &segment); i++)
        if (segment.p_type == PT_TLS) return true;
    return false;
}

/* What the segments ask for. */
static sv_status check_segments(const image *im)
{
    elf_segment segment;
    bool has_stack = false;
    for (size_t i = 0; segment_at(im, i, &segment); i++) {
        if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) && (segment.p_flags & PF_X))
            return bad(im, "it has code that can be written to (a segment with W and X): link without "
                           "-N and --omagic");
        if (segment.p_type != PT_GNU_STACK) continue;
        has_stack = !(segment.p_flags & PF_X);
        if (!has_stack) break;
    }
    return has_stack ? SV_OK
                     : bad(im, "it would make the stacks of the whole process executable: link with "
                               "-z noexecstack, and define no functions inside functions");
}

static sv_status read_dynamic(image *im)
{
    elf_segment segment;
    bool found = false;
    for (size_t i = 0; segment_at(im, i, &segment); i++) {
        if (segment.p_type != PT_DYNAMIC) continue;
        found = true;
        const size_t count = segment.p_filesz / sizeof(elf_dynamic);
        for (size_t k = 0; k < count; k++) {
            elf_dynamic entry;
            if (segment.p_offset > im->size ||
                !get(im, segment.p_offset + k * sizeof entry, &entry, sizeof entry))
                return bad(im, "its dynamic section is cut off");
            if (entry.d_tag == DT_NULL) break;
            note_dynamic(&im->dyn, &entry);
        }
    }
    return found ? SV_OK : bad(im, "it is no shared object: it has no dynamic section");
}

/* The highest symbol number that the GNU hash table reaches, plus one. */
static bool count_gnu(image *im)
{
    uint32_t head[4]; /* buckets, first hashed symbol, words of the filter, shift */
    const elf_address table = im->dyn.gnu_hash;
    if (!get_at(im, table, head, sizeof head) || head[0] > SYMBOLS_MAX || head[2] > SYMBOLS_MAX)
        return false;
    const elf_address buckets = table + sizeof head + head[2] * sizeof(elf_address);
    const elf_address chains = buckets + head[0] * sizeof(uint32_t);
    uint32_t last = 0;
    for (uint32_t i = 0; i < head[0]; i++) {
        uint32_t first;
        if (!get_at(im, buckets + i * sizeof first, &first, sizeof first)) return false;
        if (first > last) last = first;
    }
    im->symbol_count = head[1];
    if (last < head[1]) return head[1] <= SYMBOLS_MAX;
    for (;; last++) {
        uint32_t hash;
        if (last > SYMBOLS_MAX ||
            !get_at(im, chains + (last - head[1]) * sizeof hash, &hash, sizeof hash))
            return false;
        if (hash & 1u) break;
    }
    im->symbol_count = last + 1u;
    return true;
}

static sv_status count_symbols(image *im)
{
    uint32_t head[2]; /* of the old table: buckets, symbols */
    if (im->dyn.gnu_hash != 0) {
        if (count_gnu(im)) return SV_OK;
    } else if (im->dyn.hash != 0 && get_at(im, im->dyn.hash, head, sizeof head) &&
               head[1] <= SYMBOLS_MAX) {
        im->symbol_count = head[1];
        return SV_OK;
    }
    return bad(im, "its symbol table can't be read");
}

/* --- the rules ------------------------------------------------------------------------------------- */

#ifdef SVI_DEBUG
static const bool tolerates_sanitizers = true;
#else
static const bool tolerates_sanitizers = false;
#endif

static bool is_sanitizers(sv_str name)
{
    static const char *const prefixes[] = {"__asan_", "__ubsan_", "__tsan_", "__odr_asan"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (svi_str_starts(name, sv_str_of(prefixes[i]))) return true;
    return false;
}

static bool is_linkers(sv_str name)
{
    static const char *const names[] = {"_init", "_fini", "_edata", "_end", "__bss_start"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (sv_str_eq(name, sv_str_of(names[i]))) return true;
    return false;
}

static sv_status check_import(const image *im, const elf_symbol *symbol, sv_str name)
{
    const unsigned kind = symbol->st_info & 15u;
    const char *ban = im->is_engine ? svi_mods_engine_ban(name) : svi_mods_ban(name);
    if (ban != NULL && !(tolerates_sanitizers && is_sanitizers(name)))
        return svi_err(im->err, SV_EINVAL, "it %s %.*s: %s", kind == STT_OBJECT ? "uses" : "calls",
                       (int)(name.n < 60 ? name.n : 60), name.p, ban);
    if (kind == STT_TLS && !im->is_engine)
        return svi_err(im->err, SV_EINVAL, "it uses the thread-local variable %.*s of a library",
                       (int)(name.n < 60 ? name.n : 60), name.p);
    const bool is_cxx =
        svi_str_starts(name, SV_STR("_Z")) || svi_str_starts(name, SV_STR("__gxx_")) ||
        (svi_str_starts(name, SV_STR("__cxa_")) && !sv_str_eq(name, SV_STR("__cxa_finalize")));
    if (is_cxx)
        return svi_err(im->err, SV_EINVAL, "it needs the C++ runtime (%.*s)",
                       (int)(name.n < 60 ? name.n : 60), name.p);
    if (svi_str_starts(name, SV_STR("sv_")) || svi_str_starts(name, SV_STR("svi_")))
        return svi_err(im->err, SV_EINVAL,
                       "it takes %.*s from the server: a module calls it through the table `sv` "
                       "only",
                       (int)(name.n < 60 ? name.n : 60), name.p);
    return SV_OK;
}

static sv_status check_export(const image *im, const elf_symbol *symbol, sv_str name,
                              bool *is_entry_out)
{
    const unsigned kind = symbol->st_info & 15u, binding = symbol->st_info >> 4;
    if (binding == STB_LOCAL || kind == STT_SECTION || kind == STT_FILE) return SV_OK;
    if (sv_str_eq(name, SV_STR("sv_module_entry")) && kind == STT_FUNC) {
        *is_entry_out = true;
        return SV_OK;
    }
    if (sv_str_eq(name, SV_STR(SVI_ENGINE_MARK)) && kind == STT_OBJECT) return SV_OK;
    if (is_linkers(name) || (tolerates_sanitizers && is_sanitizers(name))) return SV_OK;
    return svi_err(im->err, SV_EINVAL,
                   "it exports %.*s: only sv_module_entry may be seen (make it static, or build "
                   "with -fvisibility=hidden)",
                   (int)(name.n < 60 ? name.n : 60), name.p);
}

static bool has_mark(const image *im)
{
    elf_symbol symbol;
    sv_str name;
    for (size_t i = 1; symbol_at(im, i, &symbol, &name); i++)
        if (symbol.st_shndx != SHN_UNDEF && sv_str_eq(name, SV_STR(SVI_ENGINE_MARK))) return true;
    return false;
}

/* Imports and exports. */
static sv_status check_symbols(const image *im)
{
    bool has_entry = false;
    for (size_t i = 1; i < im->symbol_count; i++) {
        elf_symbol symbol;
        sv_str name;
        if (!symbol_at(im, i, &symbol, &name)) return bad(im, "its symbol table can't be read");
        const sv_status status = symbol.st_shndx == SHN_UNDEF
                                     ? check_import(im, &symbol, name)
                                     : check_export(im, &symbol, name, &has_entry);
        if (status != SV_OK) return status;
    }
    if (!has_entry)
        return bad(im, "it exports no sv_module_entry: declare the module with SV_MODULE(...)");
    return SV_OK;
}

static bool section_at(const image *im, size_t i, elf_section *to)
{
    return i < im->head.e_shnum && im->head.e_shentsize == sizeof *to &&
           im->head.e_shoff <= im->size &&
           get(im, im->head.e_shoff + i * sizeof *to, to, sizeof *to);
}

/* True if a table of strings has this text, or one that begins so, at a place. */
static bool text_is(const image *im, const elf_section *strings, size_t place, const char *begin)
{
    const size_t n = strlen(begin);
    if (strings->sh_offset > im->size || place > im->size - strings->sh_offset) return false;
    const size_t offset = strings->sh_offset + place;
    return n <= im->size - offset && memcmp(im->bytes + offset, begin, n) == 0;
}

/* The section of the compiler's own start code (".init") or end code (".fini"); false if there is none. */
static bool code_section(const image *im, const char *name, elf_section *to)
{
    char longer[16];
    elf_section names;
    if (!section_at(im, im->head.e_shstrndx, &names)) return false;
    (void)snprintf(longer, sizeof longer, "%s_", name); /* .init_array */
    for (size_t i = 0; section_at(im, i, to); i++)
        if (text_is(im, &names, to->sh_name, name) && !text_is(im, &names, to->sh_name, longer))
            return true;
    return false;
}

/* The code at an address is that section, as the compiler's start files make it: where its length is known, nothing was put
 * between. */
static bool is_compilers(const image *im, const char *name, elf_address at)
{
    elf_section section;
    if (!code_section(im, name, &section) || section.sh_addr != at) return false;
    if (im->head.e_machine != EM_X86_64) return true;
    const size_t plain = strcmp(name, ".init") == 0 ? 23 : 9, marked = plain + 4; /* endbr64 */
    return section.sh_size == plain || section.sh_size == marked;
}

/* How many functions of the local symbol table a sanitizer made to run at the start or the end, one per source file. */
static size_t count_sanitizers(const image *im, bool at_start)
{
    const char *const gnu = at_start ? "_sub_I_000" : "_sub_D_000";
    const char *const llvm = at_start ? "asan.module_ctor" : "asan.module_dtor";
    elf_section table, strings;
    size_t count = 0;
    for (size_t i = 0; tolerates_sanitizers && section_at(im, i, &table); i++) {
        if (table.sh_type != SHT_SYMTAB || !section_at(im, table.sh_link, &strings)) continue;
        elf_symbol symbol;
        for (size_t k = 0; k < table.sh_size / sizeof symbol && table.sh_offset <= im->size &&
                           get(im, table.sh_offset + k * sizeof symbol, &symbol, sizeof symbol);
             k++) {
            const bool is_one =
                text_is(im, &strings, symbol.st_name, gnu) ||
                text_is(im, &strings, symbol.st_name, llvm) ||
                (at_start && text_is(im, &strings, symbol.st_name, "tsan.module_ctor"));
            if (is_one && (symbol.st_info & 15u) == STT_FUNC) count++;
        }
    }
    return count;
}

/* The compiler's own start files put one entry into each array (frame_dummy, __do_global_dtors_aux); objects without start
 * files have no DT_INIT and may have none. */
static sv_status check_constructors(const image *im)
{
    if (im->dyn.has_init && !is_compilers(im, ".init", im->dyn.init))
        return bad(im, "it has a start function of its own (DT_INIT): nothing may run before the "
                       "module's entry");
    if (im->dyn.has_fini && !is_compilers(im, ".fini", im->dyn.fini))
        return bad(im, "it has an end function of its own (DT_FINI): modules stay loaded; use stop()");
    const size_t own = im->dyn.has_init ? 1 : 0;
    if (im->dyn.init_array_bytes / sizeof(elf_address) > own + count_sanitizers(im, true))
        return bad(im, "it has a constructor: nothing may run before the module's entry; use "
                       "start()");
    if (im->dyn.fini_array_bytes / sizeof(elf_address) > own + count_sanitizers(im, false))
        return bad(im, "it has a destructor: modules stay loaded; use stop()");
    return SV_OK;
}

static unsigned indirect_kind(const image *im)
{
    switch (im->head.e_machine) {
    case EM_X86_64: return R_X86_64_IRELATIVE;
    case EM_AARCH64: return R_AARCH64_IRELATIVE;
    case EM_RISCV: return R_RISCV_IRELATIVE;
    default: return 0;
    }
}

/* --- libraries ------------------------------------------------------------------------------------- */

/* Those that the server has anyway, or that only compute: what they do when they are loaded is known. */
static bool is_known_library(sv_str name)
{
    static const char *const known[] = {"libc.so.",      "libm.so.",     "ld-linux",    "libgcc_s.so.",
                                        "libcrypto.so.", "libexpat.so.", "libidn2.so.", "libunistring.so.",
                                        "libjansson.so.", "libz.so."};
    static const char *const sanitizers[] = {"libasan.so.", "libubsan.so.", "libtsan.so.", "libclang_rt."};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (svi_str_starts(name, sv_str_of(known[i]))) return true;
    for (size_t i = 0; tolerates_sanitizers && i < sizeof sanitizers / sizeof *sanitizers; i++)
        if (svi_str_starts(name, sv_str_of(sanitizers[i]))) return true;
    return false;
}

/* Loading a library runs its constructors, which nobody has checked, and it stays for ever. */
static sv_status check_libraries(const image *im)
{
    const dynamic *dyn = &im->dyn;
    if (dyn->has_folders)
        return bad(im, "it names folders for libraries (DT_RUNPATH or DT_RPATH): code would come from "
                       "where nobody looks; link without -rpath");
    if (dyn->has_others)
        return bad(im, "it has other objects loaded in its place (DT_FILTER, DT_AUXILIARY, DT_AUDIT)");
    if (dyn->library_count > LIBRARIES_MAX) return bad(im, "it names too many libraries");
    for (size_t i = 0; i < dyn->library_count; i++) {
        const sv_str name = string_at(im, dyn->libraries[i]);
        if (svi_str_starts(name, SV_STR("libstdc++")) || svi_str_starts(name, SV_STR("libc++")))
            return svi_err(im->err, SV_EINVAL, "it needs the C++ runtime (%.*s)",
                           (int)(name.n < 60 ? name.n : 60), name.p);
        if (im->is_engine || is_known_library(name)) continue;
        return svi_err(im->err, SV_EINVAL,
                       "it needs the library %.*s, whose code would run unchecked: link it statically "
                       "(-l:NAME.a -Wl,--exclude-libs,ALL), or make an engine of what needs it",
                       (int)(name.n < 60 ? name.n : 60), name.p);
    }
    return SV_OK;
}

/* --- relocations ------------------------------------------------------------------------------------ */

static sv_status check_relocations(const image *im, elf_address table, size_t bytes)
{
    const unsigned indirect = indirect_kind(im);
    for (size_t i = 0; i < bytes / sizeof(elf_relocation); i++) {
        elf_relocation entry;
        if (!get_at(im, table + i * sizeof entry, &entry, sizeof entry))
            return bad(im, "its relocations can't be read");
        if (ELF_SYMBOL(entry.r_info) >= im->symbol_count)
            return bad(im, "its relocations name symbols that are not in its table");
        if (indirect != 0 && (entry.r_info & 0xffffffffu) == indirect)
            return bad(im, "it chooses functions while it is loaded (ifunc): nothing may run "
                           "before the module's entry");
    }
    return SV_OK;
}

sv_status svi_mods_check_image(const void *bytes, size_t size, sv_err *err)
{
    image im = {.bytes = bytes, .size = size, .err = err};
    sv_status status = read_head(&im);
    if (status == SV_OK) status = check_segments(&im);
    if (status == SV_OK) status = read_dynamic(&im);
    if (status == SV_OK) status = count_symbols(&im);
    if (status != SV_OK) return status;
    im.is_engine = has_mark(&im);
    if (!im.is_engine && has_thread_locals(&im))
        return bad(&im, "it has thread-local variables (a TLS segment): after a few reloads "
                        "there is no room for them; keep state in `self`");
    if (im.dyn.has_text_relocations) return bad(&im, "it has text relocations: build with -fPIC");
    if (im.dyn.stays) return bad(&im, "it is linked with -z nodelete");
    if (im.dyn.has_short_relocations || (im.dyn.plt_rela != 0 && im.dyn.plt_kind != DT_RELA))
        return bad(&im, "its relocations can't be read");
    status = check_libraries(&im);
    if (status == SV_OK) status = check_symbols(&im);
    if (status == SV_OK) status = check_constructors(&im);
    if (status == SV_OK) status = check_relocations(&im, im.dyn.rela, im.dyn.rela_bytes);
    if (status == SV_OK)
        status = check_relocations(&im, im.dyn.plt_rela, im.dyn.plt_rela_bytes);
    return status;
}

void svi_mods_image_calls(const void *bytes, size_t size, void (*each)(void *ctx, sv_str name), void *ctx)
{
    image im = {.bytes = bytes, .size = size};
    if (read_head(&im) != SV_OK || read_dynamic(&im) != SV_OK || count_symbols(&im) != SV_OK) return;
    for (size_t i = 1; i < im.symbol_count; i++) {
        elf_symbol symbol;
        sv_str name;
        if (symbol_at(&im, i, &symbol, &name) && symbol.st_shndx == SHN_UNDEF &&
            symbol.st_info >> 4 == STB_GLOBAL && !(tolerates_sanitizers && is_sanitizers(name)))
            each(ctx, name);
    }
}
