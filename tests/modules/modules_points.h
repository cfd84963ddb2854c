/* What api/stave.lua says of the event at each hook point, for the test that looks:
 * X(name, about an account or the host or neither, stanza, session, subject, LATER).
 *
 * Generated from api/stave.lua by `make generate`: a change here is lost. */
#ifndef TESTS_MODULES_POINTS_H
#define TESTS_MODULES_POINTS_H

#define DESCRIBED_POINTS(X) \
    X("stanza/inbound", OTHER, true, true, false, true) \
    X("message/out", OTHER, true, true, false, true) \
    X("message/self", OTHER, true, true, false, true) \
    X("message/account", OTHER, true, true, false, true) \
    X("message/resource", OTHER, true, true, false, true) \
    X("message/host", OTHER, true, true, false, true) \
    X("message/remote", OTHER, true, true, false, true) \
    X("presence/out", OTHER, true, true, false, true) \
    X("presence/self", OTHER, true, true, false, true) \
    X("presence/account", OTHER, true, true, false, true) \
    X("presence/resource", OTHER, true, true, false, true) \
    X("presence/host", OTHER, true, true, false, true) \
    X("presence/remote", OTHER, true, true, false, true) \
    X("iq-get/out", OTHER, true, true, false, true) \
    X("iq-get/self", OTHER, true, true, false, true) \
    X("iq-get/account", OTHER, true, true, false, true) \
    X("iq-get/resource", OTHER, true, true, false, true) \
    X("iq-get/host", OTHER, true, true, false, true) \
    X("iq-get/remote", OTHER, true, true, false, true) \
    X("iq-set/out", OTHER, true, true, false, true) \
    X("iq-set/self", OTHER, true, true, false, true) \
    X("iq-set/account", OTHER, true, true, false, true) \
    X("iq-set/resource", OTHER, true, true, false, true) \
    X("iq-set/host", OTHER, true, true, false, true) \
    X("iq-set/remote", OTHER, true, true, false, true) \
    X("iq-result/out", OTHER, true, true, false, true) \
    X("iq-result/self", OTHER, true, true, false, true) \
    X("iq-result/account", OTHER, true, true, false, true) \
    X("iq-result/resource", OTHER, true, true, false, true) \
    X("iq-result/host", OTHER, true, true, false, true) \
    X("iq-result/remote", OTHER, true, true, false, true) \
    X("iq-error/out", OTHER, true, true, false, true) \
    X("iq-error/self", OTHER, true, true, false, true) \
    X("iq-error/account", OTHER, true, true, false, true) \
    X("iq-error/resource", OTHER, true, true, false, true) \
    X("iq-error/host", OTHER, true, true, false, true) \
    X("iq-error/remote", OTHER, true, true, false, true) \
    X("session/bound", OTHER, false, true, false, true) \
    X("session/presence", OTHER, true, true, false, true) \
    X("session/gone", OTHER, false, true, false, true) \
    X("session/unsent", OTHER, true, true, false, true) \
    X("account/added", ACCOUNT, false, false, true, false) \
    X("account/removed", ACCOUNT, false, false, true, false) \
    X("roster/changed", ACCOUNT, false, false, true, false) \
    X("session/written", OTHER, false, true, false, true) \
    X("session/silent", OTHER, false, true, false, true) \
    X("host/ready", HOST, false, false, false, true) \
    X("command/run", ACCOUNT, false, false, false, true) \
    X("stanza/made", OTHER, true, false, false, true) \
    X("message/nobody", OTHER, true, true, false, true) \
    X("presence/nobody", OTHER, true, true, false, true) \
    X("store/sweep", ACCOUNT, false, false, true, true) \
    X("host/timer", HOST, false, false, true, true) \
    X("disco/host", HOST, false, false, true, false) \
    X("disco/account", ACCOUNT, false, false, true, false) \
    X("disco/host-items", HOST, false, false, true, false) \
    X("disco/account-items", ACCOUNT, false, false, true, false) \
    X("disco/changed", HOST, false, false, false, false) \
    X("disco/told", HOST, false, false, true, false) \
    X("caps/known", ACCOUNT, false, false, true, true) \
    X("roster/shared", ACCOUNT, false, false, false, false) \
    X("roster/reshared", ACCOUNT, false, false, false, true) \
    X("account/disabled", ACCOUNT, false, false, true, false) \
    X("account/enabled", ACCOUNT, false, false, true, false) \
    X("account/removing", ACCOUNT, false, false, true, true) \
    X("offline/turn", ACCOUNT, false, false, false, true) \
    X("archive/read", ACCOUNT, false, false, true, true) \
    X("host/item", HOST, false, false, true, true) \
    X("stream/element", OTHER, true, true, false, true) \
    X("session/away", OTHER, false, true, false, true) \
    X("session/back", OTHER, false, true, true, true) \
    X("session/handled", OTHER, false, true, false, true) \
    X("session/unacked", OTHER, false, true, false, true) \
    X("message/returned", OTHER, true, true, false, true) \
    X("session/sending", OTHER, true, true, false, false) \
    X("presence/ending", ACCOUNT, false, false, true, false)

#endif
