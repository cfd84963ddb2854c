/* The groups of the module table, each with its version: the minor release that appended its newest function.
 *
 * Generated from api/stave.lua by `make generate`: a change here is lost. */
#ifndef SVI_MODS_GROUPS_H
#define SVI_MODS_GROUPS_H

#define SVI_GROUPS(X) \
    X("core", 1u) \
    X("memory", 1u) \
    X("timers", 1u) \
    X("stanza", 1u) \
    X("addresses", 1u) \
    X("sessions", 1u) \
    X("items", 1u) \
    X("hooks", 1u) \
    X("store", 1u) \
    X("overlay", 1u) \
    X("features", 1u) \
    X("commands", 1u) \
    X("accounts", 1u) \
    X("auth", 1u)

#endif
