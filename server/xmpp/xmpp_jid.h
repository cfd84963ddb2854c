/* Addresses (RFC 7622): parsing, preparation, comparison.
 *
 * A prepared JID is one string with three parts in it, so that equal addresses are equal bytes:
 * localparts by the PRECIS profile UsernameCaseMapped, resources by OpaqueString
 * (xmpp_precis.h), domains in lower case with U-labels (IDNA2008 by libidn2). ASCII, the common
 * case, goes by tables of bytes. */
#ifndef SVI_XMPP_JID_H
#define SVI_XMPP_JID_H

#include <stave/module.h>
#include "base/base_mem.h"
#include "base/base_str.h"

#define SVI_JID_PART_MAX 1023u

/* Prepares `text` into `arena`: SV_EINVAL if it is malformed (empty parts, forbidden characters
 * RFC 7622 3.3.1, a leading space in the resource as in its example 18, too long, not UTF-8).
 * Any thread. */
sv_status svi_jid_parse(svi_arena *arena, sv_str text, sv_jid *jid_out);

/* Makes a JID of prepared parts in `arena`, one copy of all; an empty node or resource is left
 * out. `domain` is not empty. */
sv_jid svi_jid_make(svi_arena *arena, sv_str node, sv_str domain, sv_str resource);

/* Prepares a localpart alone (RFC 7622 3.3): SV_EINVAL if it is malformed; the result is in
 * `arena`. */
sv_status svi_jid_prep_node(svi_arena *arena, sv_str text, sv_str *node_out);

/* Prepares a domain alone (RFC 7622 3.2): a name, an IPv4 address or an IPv6 address in
 * brackets; a final dot is stripped. */
sv_status svi_jid_prep_domain(svi_arena *arena, sv_str text, sv_str *domain_out);

/* A prepared domain as DNS and TLS have it, with A-labels; the result is in `arena`, or `domain` itself if
 * it is no such name (an IP address). */
sv_str svi_jid_ascii_domain(svi_arena *arena, sv_str domain);

/* Prepares a resource alone (RFC 7622 3.4). */
sv_status svi_jid_prep_resource(svi_arena *arena, sv_str text, sv_str *resource_out);

/* How a name that people write with characters that a localpart can't have is written as one (XEP-0106
 * 4.2: "d'artagnan" is d\27artagnan); not prepared yet. It is not for others' addresses, which stay as
 * they are. SV_EINVAL if it begins or ends with a space (rule 6). */
sv_status svi_jid_escape_node(svi_arena *arena, sv_str text, sv_str *node_out);

/* Whether a localpart begins or ends with an escaped space, as nobody should make one (XEP-0106 4.1
 * rule 6). */
bool svi_jid_has_outer_space(sv_str node);

/* Copies a prepared JID into `arena`. */
sv_jid svi_jid_copy(svi_arena *arena, const sv_jid *jid);

/* Copies a prepared JID: one allocation; free with svi_jid_free. */
void svi_jid_dup(svi_acct *acct, const sv_jid *jid, sv_jid *jid_out);

/* Frees a copy that svi_jid_dup made and clears it; one that is clear already is no error. */
void svi_jid_free(sv_jid *jid);

/* True if it has no resource. */
bool svi_jid_is_bare(const sv_jid *jid);

#endif
