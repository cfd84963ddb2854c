/* PRECIS profiles (RFC 8264, RFC 8265) on libunistring: what localparts, resources and passwords
 * are prepared with.
 *
 * Which code points are assigned is what libunistring's version of Unicode says. */
#ifndef SVI_XMPP_PRECIS_H
#define SVI_XMPP_PRECIS_H

#include "base/base_mem.h"
#include "base/base_str.h"

/* Longest input in bytes; three times a JID part, since full-width letters shrink when they are
 * mapped. */
#define SVI_PRECIS_MAX 4092u

/* UsernameCaseMapped (RFC 8265 3.3): width and case mapped, NFC, Bidi Rule, code points of the
 * IdentifierClass only. The result is in `arena`. SV_EINVAL if the text is not UTF-8, empty, too
 * long, has a forbidden code point or does not become stable. */
sv_status svi_precis_username(svi_arena *arena, sv_str text, sv_str *name_out);

/* OpaqueString (RFC 8265 4.2): other spaces become SPACE, NFC, code points of the FreeformClass
 * only. The result is in `arena`. SV_EINVAL as above. Copies of the text stay in the arena until
 * it is freed. */
sv_status svi_precis_opaque(svi_arena *arena, sv_str text, sv_str *text_out);

#endif
