/* The groups of the module table, each with its version (the minor release that appended its newest function), and
 * what returns its table: X(name, version, function).
 *
 * Generated from api/stave.lua by `make generate`: a change here is lost. */
#ifndef SVI_MODS_GROUPS_H
#define SVI_MODS_GROUPS_H

#include "mods/mods_stream.h"

#include "mods/mods_engine_impl.h"

#include "mods/mods_api.h"

#define SVI_GROUPS(X) \
    X("core", 1u, flat) \
    X("memory", 1u, flat) \
    X("metrics", 1u, flat) \
    X("generations", 1u, flat) \
    X("timers", 1u, flat) \
    X("stanza", 1u, flat) \
    X("addresses", 1u, flat) \
    X("sessions", 1u, flat) \
    X("items", 1u, flat) \
    X("hooks", 1u, flat) \
    X("store", 1u, flat) \
    X("overlay", 1u, flat) \
    X("features", 1u, flat) \
    X("commands", 1u, flat) \
    X("files", 1u, flat) \
    X("accounts", 1u, flat) \
    X("auth", 1u, flat) \
    X("stream", 1u, svi_stream_table) \
    X("engine", 1u, svi_engine_table) \
    X("archive", 1u, svi_archive_table)

#endif
