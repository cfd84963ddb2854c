/* Atoms: names that core and modules declare, as small integers (architecture 3.1).
 *
 * A table is immutable. Declaring more names makes a new table that contains the old one with the same
 * numbers; the old one stays valid (it is kept by the new one). Nothing a peer sends enters a table. */
#ifndef SVI_BASE_ATOM_H
#define SVI_BASE_ATOM_H

#include "base/base_mem.h"

typedef struct svi_atoms svi_atoms;

/* A table with the names of `old` (may be NULL) and of `names`; doubles are no error, empty names are left
 * out. Numbers of `old` stay; with nothing new the answer is `old` itself. Frees nothing. One thread at a
 * time; readers of `old` go on meanwhile. */
svi_atoms *svi_atoms_extend(svi_acct *acct, svi_atoms *old, const sv_str *names, size_t count);

/* Frees the newest table and all that it was made from, after all readers have ended. Clears the pointer. */
void svi_atoms_free(svi_atoms **newest);

/* The atom of a name, 0 if nobody declared it. Any thread, no lock. */
sv_atom svi_atoms_find(const svi_atoms *atoms, sv_str name);

/* The text of an atom (lives as long as the table); empty for 0 or an unknown number. */
sv_str svi_atoms_text(const svi_atoms *atoms, sv_atom atom);

/* Names in the table; their atoms are 1 to this number. */
size_t svi_atoms_count(const svi_atoms *atoms);

#endif
