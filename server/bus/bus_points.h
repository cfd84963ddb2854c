/* Every hook point of the core, once: name and meaning. An X-macro, so that names, numbers and
 * documents agree; api/stave.lua says more of each.
 *
 * Scopes of stanzas: `out` is the sender's side of what a local session sends to somebody else,
 * asked first; then one of: `self` (no `to`, or the sender's own bare JID), `account` (another
 * local account's bare JID, or a full one whose resource is not on line), `resource` (a session
 * on line), `host` (a local domain), `remote` (not local). At `nobody` (a local account that does not
 * exist; no IQ) stand only those who answer for it. What a module routes in the name of a local account
 * begins at `stanza/made` on that account's host, in place of `out`. */
#ifndef SVI_BUS_POINTS_H
#define SVI_BUS_POINTS_H

/* generated from api/stave.lua by `make generate`: points */
#define SVI_POINTS(X)                                                                              \
    X(STANZA_INBOUND, "stanza/inbound", "every stanza from a client or peer, before any other")    \
    X(MESSAGE_OUT, "message/out", "sent by a local session to somebody else; the sender's side")   \
    X(MESSAGE_SELF, "message/self", "to the sender's own account")                                 \
    X(MESSAGE_ACCOUNT, "message/account", "to a local account that is not the sender's")           \
    X(MESSAGE_RESOURCE, "message/resource", "to a session that is on line")                        \
    X(MESSAGE_HOST, "message/host", "to a local domain")                                           \
    X(MESSAGE_REMOTE, "message/remote", "to a domain that is not local")                           \
    X(PRESENCE_OUT, "presence/out", "sent by a local session to somebody else; the sender's side") \
    X(PRESENCE_SELF, "presence/self", "to the sender's own account")                               \
    X(PRESENCE_ACCOUNT, "presence/account", "to a local account that is not the sender's")         \
    X(PRESENCE_RESOURCE, "presence/resource", "to a session that is on line")                      \
    X(PRESENCE_HOST, "presence/host", "to a local domain")                                         \
    X(PRESENCE_REMOTE, "presence/remote", "to a domain that is not local")                         \
    X(IQ_GET_OUT, "iq-get/out", "sent by a local session to somebody else; the sender's side")     \
    X(IQ_GET_SELF, "iq-get/self", "to the sender's own account")                                   \
    X(IQ_GET_ACCOUNT, "iq-get/account", "to a local account that is not the sender's")             \
    X(IQ_GET_RESOURCE, "iq-get/resource", "to a session that is on line")                          \
    X(IQ_GET_HOST, "iq-get/host", "to a local domain")                                             \
    X(IQ_GET_REMOTE, "iq-get/remote", "to a domain that is not local")                             \
    X(IQ_SET_OUT, "iq-set/out", "sent by a local session to somebody else; the sender's side")     \
    X(IQ_SET_SELF, "iq-set/self", "to the sender's own account")                                   \
    X(IQ_SET_ACCOUNT, "iq-set/account", "to a local account that is not the sender's")             \
    X(IQ_SET_RESOURCE, "iq-set/resource", "to a session that is on line")                          \
    X(IQ_SET_HOST, "iq-set/host", "to a local domain")                                             \
    X(IQ_SET_REMOTE, "iq-set/remote", "to a domain that is not local")                             \
    X(IQ_RESULT_OUT, "iq-result/out",                                                              \
      "sent by a local session to somebody else; the sender's side")                               \
    X(IQ_RESULT_SELF, "iq-result/self", "to the sender's own account")                             \
    X(IQ_RESULT_ACCOUNT, "iq-result/account", "to a local account that is not the sender's")       \
    X(IQ_RESULT_RESOURCE, "iq-result/resource", "to a session that is on line")                    \
    X(IQ_RESULT_HOST, "iq-result/host", "to a local domain")                                       \
    X(IQ_RESULT_REMOTE, "iq-result/remote", "to a domain that is not local")                       \
    X(IQ_ERROR_OUT, "iq-error/out", "sent by a local session to somebody else; the sender's side") \
    X(IQ_ERROR_SELF, "iq-error/self", "to the sender's own account")                               \
    X(IQ_ERROR_ACCOUNT, "iq-error/account", "to a local account that is not the sender's")         \
    X(IQ_ERROR_RESOURCE, "iq-error/resource", "to a session that is on line")                      \
    X(IQ_ERROR_HOST, "iq-error/host", "to a local domain")                                         \
    X(IQ_ERROR_REMOTE, "iq-error/remote", "to a domain that is not local")                         \
    X(SESSION_BOUND, "session/bound", "a resource was bound")                                      \
    X(SESSION_PRESENCE, "session/presence", "a session's own presence changed")                    \
    X(SESSION_GONE, "session/gone", "a session ended, for whatever reason")                        \
    X(SESSION_UNSENT, "session/unsent", "a stanza for a session was never written to it")          \
    X(ACCOUNT_ADDED, "account/added", "an account was made")                                       \
    X(ACCOUNT_REMOVED, "account/removed", "an account was deleted")                                \
    X(ROSTER_CHANGED, "roster/changed", "a roster item changed (stave/roster.h)")                  \
    X(SESSION_WRITTEN, "session/written", "all that was pushed to it from rows has been written")  \
    X(SESSION_SILENT, "session/silent",                                                            \
      "nothing came from its client for long: handlers ask for a sign of life, else it ends")      \
    X(HOST_READY, "host/ready",                                                                    \
      "the host's modules have started and their hooks are in place; again after some of them were loaded anew") \
    X(COMMAND_RUN, "command/run", "a command of a module runs; only that module is asked")         \
    X(STANZA_MADE, "stanza/made",                                                                  \
      "routed by a module in the name of a local account to somebody else; that account's side")   \
    X(MESSAGE_NOBODY, "message/nobody",                                                            \
      "to a local account that does not exist: dropped or refused, there is nobody to store for")  \
    X(PRESENCE_NOBODY, "presence/nobody", "the same for presence")                                 \
    X(STORE_SWEEP, "store/sweep", "an account's turn in a round over a map")                       \
    X(HOST_TIMER, "host/timer", "begun by a module's timer")                                       \
    X(DISCO_HOST, "disco/host", "what else the host is (stave/disco.h)")                           \
    X(DISCO_ACCOUNT, "disco/account", "what else an account is (stave/disco.h)")                   \
    X(DISCO_HOST_ITEMS, "disco/host-items", "which items the host has (stave/disco.h)")            \
    X(DISCO_ACCOUNT_ITEMS, "disco/account-items", "which items an account has (stave/disco.h)")    \
    X(DISCO_CHANGED, "disco/changed",                                                              \
      "a module offers something else than before at disco/host (stave/disco.h)")                  \
    X(DISCO_TOLD, "disco/told", "what the host tells of itself from now on (stave/disco.h)")       \
    X(CAPS_KNOWN, "caps/known",                                                                    \
      "the features of a session's client have become known (stave/caps.h)")                       \
    X(ROSTER_SHARED, "roster/shared",                                                              \
      "asked for contacts that an account does not list itself (stave/roster.h)")                  \
    X(ROSTER_RESHARED, "roster/reshared", "what is shared with an account may have changed")       \
    X(ACCOUNT_DISABLED, "account/disabled", "nobody may log in to an account any more")            \
    X(ACCOUNT_ENABLED, "account/enabled", "somebody may log in to it again")                       \
    X(ACCOUNT_REMOVING, "account/removing",                                                        \
      "an account is being deleted: fired again until its handlers write nothing, before account/removed; a handler may say LATER, and refuses if it can't do its part now") \
    X(OFFLINE_TURN, "offline/turn", "another session of an account may take what is kept for it")  \
    X(ARCHIVE_READ, "archive/read", "a session has been sent a page of its account's archive")     \
    X(HOST_ITEM, "host/item", "an item of the host was set, changed or taken away")                \
    X(STREAM_ELEMENT, "stream/element",                                                            \
      "a top-level element that is no stanza, on a stream that has logged in (stave/stream.h)")    \
    X(SESSION_AWAY, "session/away",                                                                \
      "the connection of a counted session has ended; it stays (stave/stream.h)")                  \
    X(SESSION_BACK, "session/back", "a stream has taken up a counted session (stave/stream.h)")    \
    X(SESSION_HANDLED, "session/handled",                                                          \
      "what a counted session has sent is handled, or that takes long (stave/stream.h)")           \
    X(SESSION_UNACKED, "session/unacked",                                                          \
      "a counted session's client was sent much, or nothing more for a while, and has not acknowledged it (stave/stream.h)") \
    X(MESSAGE_RETURNED, "message/returned",                                                        \
      "an error was returned for a message of a local session, which has it")                      \
    X(SESSION_SENDING, "session/sending",                                                          \
      "a stanza goes to a session that a module holds back (session_hold)")                        \
    X(PRESENCE_ENDING, "presence/ending",                                                          \
      "what a contact on this or another host removes from its roster, or loses with its account: the account's side of the subscriptions ends in the same event")
/* generated: end */

#define SVI_POINT_ENUM(id, name, meaning) SVI_POINT_##id,
enum { SVI_POINT_NONE = 0, SVI_POINTS(SVI_POINT_ENUM) SVI_POINT_COUNT };

#endif
