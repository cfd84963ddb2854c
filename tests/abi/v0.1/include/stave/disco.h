/* What modules add to the answers of service discovery (XEP-0030, XEP-0128), besides the features that
 * their descriptions declare.
 *
 * The module disco gathers (sv->gather) at the points below; a handler offers a line for each element,
 * as XML without line feeds, in the namespace of the answer unless it has an xmlns of its own:
 *
 *   disco/host           of the host, disco#info: <identity category='' type='' name=''/>,
 *   disco/account        of the account `from`:   <feature var=''/>, <x xmlns='jabber:x:data' ...>
 *   disco/host-items     of the host, disco#items: <item jid='' node='' name=''/>
 *   disco/account-items  of the account `from`
 *
 * The subject is the node that was asked for (XEP-0030 3.2, 4.2), empty for none. For a node nothing is
 * there but what handlers offer; if they offer nothing it does not exist. What is no such element, and
 * what was there before (a feature, an identity of the same category, type and language, a form of the
 * same FORM_TYPE), is left out. Whoever asks has been found to be allowed to; what depends on who asks is
 * answered by a hook of one's own on the request, in band SV_EARLY.
 *
 * The host's info without a node is put together when the host is ready, and again when a module fires
 * disco/changed since it offers something else: entity capabilities say the same meanwhile. Whenever it
 * differs from before, disco/told is fired: its subject is the <query/> as text. */
#ifndef STAVE_DISCO_H
#define STAVE_DISCO_H

#define SV_DISCO_INFO "http://jabber.org/protocol/disco#info"
#define SV_DISCO_ITEMS "http://jabber.org/protocol/disco#items"

#define SV_DISCO_HOST "disco/host"
#define SV_DISCO_ACCOUNT "disco/account"
#define SV_DISCO_HOST_ITEMS "disco/host-items"
#define SV_DISCO_ACCOUNT_ITEMS "disco/account-items"
#define SV_DISCO_CHANGED "disco/changed"
#define SV_DISCO_TOLD "disco/told"

#endif
