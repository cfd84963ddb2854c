/* Atoms: an immutable table of declared names with an index of open hashing, read without locks.
 *
 * The hash is fast and not keyed: peers can ask for any name but never put one in. */
#include "base/base_atom.h"

#include "base/base_assert.h"

enum { ATOM_MAGIC = 0x41544f4d, LEAST_SLOTS = 16 };

typedef struct slot {
    uint32_t hash;
    sv_atom atom; /* 0 is empty */
} slot;

struct svi_atoms {
    uint32_t magic;
    svi_atoms *old;
    sv_str *texts; /* by atom; [0] is empty; texts of `old` are shared with it */
    slot *slots;
    size_t slot_mask;
    size_t count;
    size_t longest; /* a longer name is nobody's: not even hashed */
};

/* Multiply and fold over eight bytes at a time. */
static uint32_t name_hash(sv_str s)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ s.n;
    size_t at = 0;
    for (; s.n - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, s.p + at, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    uint64_t tail = 0;
    if (s.n > at) memcpy(&tail, s.p + at, s.n - at);
    h = (h ^ tail) * 0xc4ceb9fe1a85ec53u;
    return (uint32_t)(h ^ h >> 29 ^ h >> 47);
}

static slot *slot_of(const svi_atoms *atoms, sv_str name, uint32_t hash)
{
    size_t at = hash & atoms->slot_mask;
    for (;; at = (at + 1) & atoms->slot_mask) {
        slot *s = &atoms->slots[at];
        if (s->atom == 0) return s;
        if (s->hash == hash && sv_str_eq(atoms->texts[s->atom], name)) return s;
    }
}

/* Puts the name in if it is new. */
static void add(svi_atoms *atoms, svi_acct *acct, sv_str name, bool copy)
{
    if (name.n == 0) return;
    const uint32_t hash = name_hash(name);
    slot *s = slot_of(atoms, name, hash);
    if (s->atom != 0) return;
    const sv_atom atom = (sv_atom)++atoms->count;
    atoms->texts[atom] = copy ? svi_str_dup(acct, name) : name;
    *s = (slot){.hash = hash, .atom = atom};
    if (name.n > atoms->longest) atoms->longest = name.n;
}

static bool has_new(const svi_atoms *old, const sv_str *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (names[i].n > 0 && svi_atoms_find(old, names[i]) == 0) return true;
    return false;
}

svi_atoms *svi_atoms_extend(svi_acct *acct, svi_atoms *old, const sv_str *names, size_t count)
{
    if (old != NULL && !has_new(old, names, count)) return old;
    const size_t before = old == NULL ? 0 : old->count;
    SV_ASSERT(before + count < UINT32_MAX / 4);
    size_t slots = LEAST_SLOTS;
    while (slots < (before + count) * 2) slots *= 2;
    svi_atoms *atoms = svi_alloc(acct, sizeof(svi_atoms));
    atoms->magic = ATOM_MAGIC;
    atoms->old = old;
    atoms->texts = svi_alloc(acct, (before + count + 1) * sizeof(sv_str));
    atoms->slots = svi_alloc(acct, slots * sizeof(slot));
    atoms->slot_mask = slots - 1;
    for (size_t i = 1; i <= before; i++) add(atoms, acct, old->texts[i], false);
    SV_ASSERT(atoms->count == before);
    for (size_t i = 0; i < count; i++) add(atoms, acct, names[i], true);
    return atoms;
}

void svi_atoms_free(svi_atoms **newest)
{
    svi_atoms *atoms = *newest;
    *newest = NULL;
    while (atoms != NULL) {
        SV_CHECK(atoms, ATOM_MAGIC);
        svi_atoms *old = atoms->old;
        const size_t inherited = old == NULL ? 0 : old->count;
        for (size_t i = inherited + 1; i <= atoms->count; i++) svi_str_free(&atoms->texts[i]);
        svi_free(atoms->texts);
        svi_free(atoms->slots);
        atoms->magic = 0;
        svi_free(atoms);
        atoms = old;
    }
}

sv_atom svi_atoms_find(const svi_atoms *atoms, sv_str name)
{
    SV_CHECK(atoms, ATOM_MAGIC);
    if (name.n == 0 || name.n > atoms->longest) return 0;
    return slot_of(atoms, name, name_hash(name))->atom;
}

sv_str svi_atoms_text(const svi_atoms *atoms, sv_atom atom)
{
    SV_CHECK(atoms, ATOM_MAGIC);
    return atom <= atoms->count ? atoms->texts[atom] : SV_STR_NONE;
}

size_t svi_atoms_count(const svi_atoms *atoms)
{
    SV_CHECK(atoms, ATOM_MAGIC);
    return atoms->count;
}
