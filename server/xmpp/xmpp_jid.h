/* Addresses (RFC 7622): parsing, preparation, comparison.
 *
 * A prepared JID is one string with three parts in it; domains and localparts are folded to lower case, so that
 * equal addresses are equal bytes. ASCII only in localpart and domain; resources are any UTF-8 without control characters. */
#ifndef SVI_XMPP_JID_H
#define SVI_XMPP_JID_H

#include <stave/module.h>
#include "base/base_mem.h"
#include "base/base_str.h"

#define SVI_JID_PART_MAX 1023u

/* Prepares `text` into `arena`: SV_EINVAL if it is malformed (empty parts, forbidden characters RFC 7622 3.3.1, too long). */
sv_status svi_jid_parse(svi_arena *arena, sv_str text, sv_jid *jid_out);

/* Makes a JID of prepared parts in `arena`; empty node or resource are left out. */
sv_jid svi_jid_make(svi_arena *arena, sv_str node, sv_str domain, sv_str resource);

/* Prepares one part alone; result in `arena`. */
sv_status svi_jid_prep_node(svi_arena *arena, sv_str text, sv_str *node_out);
sv_status svi_jid_prep_domain(svi_arena *arena, sv_str text, sv_str *domain_out);
sv_status svi_jid_prep_resource(svi_arena *arena, sv_str text, sv_str *resource_out);

/* Copies a prepared JID: one allocation; free with svi_jid_free. */
void svi_jid_dup(svi_acct *acct, const sv_jid *jid, sv_jid *jid_out);
void svi_jid_free(sv_jid *jid);

bool svi_jid_is_bare(const sv_jid *jid);

#endif
