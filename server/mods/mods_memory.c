/* Module table: memory that is counted to a module on a host and goes with it. */
#include "mods/mods_api.h"

enum { BLOCK_MAGIC = 0x424c4b21 };

/* Stands before what the module gets; linked in its module. */
struct svi_block {
    uint32_t magic;
    sv_mod *mod;
    size_t bytes;
    svi_block *next, **link;
    max_align_t data[];
};

static void enlist(svi_block *block, sv_mod *mod)
{
    block->magic = BLOCK_MAGIC;
    block->mod = mod;
    block->next = mod->blocks;
    block->link = &mod->blocks;
    if (block->next != NULL) block->next->link = &block->next;
    mod->blocks = block;
}

static void strike(svi_block *block)
{
    *block->link = block->next;
    if (block->next != NULL) block->next->link = block->link;
    block->magic = 0;
}

/* What is no memory of this module, or was given back before, is a bug that ends the worker. */
static svi_block *block_of(const sv_mod *mod, void *mem)
{
    svi_block *block = (svi_block *)(void *)((char *)mem - offsetof(svi_block, data));
    SV_CHECK(block, BLOCK_MAGIC);
    SV_ASSERT(block->mod == mod);
    return block;
}

static size_t with_head(size_t bytes)
{
    SV_ASSERT(bytes < PTRDIFF_MAX - sizeof(svi_block));
    return sizeof(svi_block) + bytes;
}

/* A test has it that the quota is used up. */
static void ask_probe(sv_mod *mod)
{
    const svi_mods_probe *probe = svi_mod_probe(mod);
    if (probe != NULL && probe->is_over_quota != NULL && probe->is_over_quota(probe->ctx, mod->file->name))
        svi_conduct_exceed(mod);
}

void *svi_api_alloc(sv_mod *mod, size_t bytes)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    ask_probe(mod);
    svi_block *block = svi_alloc(&mod->acct, with_head(bytes));
    block->bytes = bytes;
    enlist(block, mod);
    svi_conduct_look_memory(mod, false);
    return block->data;
}

void *svi_api_alloc_resize(sv_mod *mod, void *mem, size_t bytes)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    if (mem == NULL) return svi_api_alloc(mod, bytes);
    svi_block *block = block_of(mod, mem);
    const size_t before = block->bytes;
    if (bytes > before) ask_probe(mod);
    strike(block);
    block = svi_realloc(&mod->acct, block, with_head(bytes));
    block->bytes = bytes;
    enlist(block, mod);
    if (bytes > before) memset((char *)block->data + before, 0, bytes - before);
    svi_conduct_look_memory(mod, false);
    return block->data;
}

void svi_api_free(sv_mod *mod, void *pointer)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    void *mem;
    memcpy(&mem, pointer, sizeof mem);
    if (mem == NULL) return;
    svi_block *block = block_of(mod, mem);
    strike(block);
    svi_free(block);
    memset(pointer, 0, sizeof mem);
}

sv_str svi_api_str_dup(sv_mod *mod, sv_str text)
{
    char *to = svi_api_alloc(mod, text.n + 1);
    if (text.n > 0) memcpy(to, text.p, text.n);
    return (sv_str){to, text.n};
}

void svi_api_str_free(sv_mod *mod, sv_str *text)
{
    void *mem = (void *)(uintptr_t)text->p;
    svi_api_free(mod, &mem);
    *text = SV_STR_NONE;
}

void svi_blocks_drop(sv_mod *mod)
{
    while (mod->blocks != NULL) {
        svi_block *block = mod->blocks;
        strike(block);
        svi_free(block);
    }
}
