--[[ The one description of the module interface: hook points, verdicts, statuses, kinds, and each function of `sv` with its
group, the minor release it is there since, its mark and how Lua calls it.

`make generate` makes of it, and of the comments in the headers beside it: the enumerations in api/stave/*.h, the list of
hook points, the tables of groups and of Lua bindings in server/, and doc/reference/. What a function means stands above
its prototype, once; here stands what a compiler can't see.

MARKS: what it takes to call a function from another process, where a module may run later.
  local    the event's snapshot is enough, or what a handler says travels back with its verdict
  message  a message to the server; what comes back comes by a callback, or is waited for in start()
  native   needs the server's memory at once: only for modules in its process

LUA SIGNATURES: "event:NAME(argument: type, ...): result, ...". Before the colon stands whose method it is; sv.NAME belongs to
nobody. What C takes and Lua knows by itself (sv_event, sv_mod, lengths) is left out; a type with ? may be nil; "yields" at
the end: C's callback is Lua's return. Glue is made of a signature that is like the prototype (server/script/script_glue.c); what is
called otherwise has it as `hand`, and is written by hand as svi_lua_OWNER_NAME. Functions that are not open to Lua say why. They are no
part of the binary interface: they may change in a minor release. ]]

local function is(...)
    local list = {}
    for i, entry in ipairs({...}) do list[i] = {name = entry[1], value = entry[2], text = entry[3], lua = entry.lua} end
    return list
end

-- ---- constants ----------------------------------------------------------------------------------------------------

local enums = {
    {name = "sv_status", header = "types.h", title = "Statuses",
     text = "What a call that can fail for reasons of the environment returns: SV_OK or a negative value. A call that returns an " ..
            "error has done nothing and never calls back.",
     is({"SV_OK", 0},
        {"SV_ENOTFOUND", -1, "no such thing"},
        {"SV_EEXIST", -2, "there is one already"},
        {"SV_EINVAL", -3, "the argument's form is wrong"},
        {"SV_ELIMIT", -4, "a quota or a bound would be passed"},
        {"SV_EIO", -5, "a device or file failed"},
        {"SV_ENOSPC", -6, "not enough disk or map; see admission in store.h"},
        {"SV_ETIMEOUT", -7, "its deadline passed"},
        {"SV_ECANCELED", -8, "event, session or module went away first"},
        {"SV_ECLOSED", -9, "the peer or the object is closed"},
        {"SV_EDENIED", -10, "not allowed"},
        {"SV_EVERSION", -11, "made for another version"},
        {"SV_EBUSY", -12, "in use by somebody else"},
        {"SV_EAGAIN", -13, "not now; called again later it may work"})},
    {name = "sv_verdict", header = "types.h", title = "Verdicts", text = "What a handler says of the event it was given.",
     is({"SV_PASS", 0, "the next handler"},
        {"SV_DONE", 1, "the pass ends; the stanza has been disposed of"},
        {"SV_LATER", 2, "an operation holds the event and finishes it (sv->pass, send, refuse, ...)"})},
    {name = "sv_band", header = "types.h", title = "Bands",
     text = "Order of handlers within one hook point; inside a band the order of the config file decides.",
     is({"SV_NORMAL", 0, "behind EARLY, before LATE"},
        {"SV_FIRST", 1, "before all others"},
        {"SV_EARLY", 2, "behind FIRST"},
        {"SV_LATE", 3, "behind NORMAL"},
        {"SV_MONITOR", 4, "sees the verdict, cannot change it"})},
    {name = "sv_cond", header = "types.h", title = "Error conditions",
     text = "Stanza error conditions (RFC 6120 8.3.3), with the error type that the RFC recommends for each.",
     is({"SV_BAD_REQUEST", 1, "modify"},
        {"SV_CONFLICT", 2, "cancel"},
        {"SV_FEATURE_NOT_IMPLEMENTED", 3, "cancel"},
        {"SV_FORBIDDEN", 4, "auth"},
        {"SV_GONE", 5, "cancel"},
        {"SV_INTERNAL_SERVER_ERROR", 6, "cancel"},
        {"SV_ITEM_NOT_FOUND", 7, "cancel"},
        {"SV_JID_MALFORMED", 8, "modify"},
        {"SV_NOT_ACCEPTABLE", 9, "modify"},
        {"SV_NOT_ALLOWED", 10, "cancel"},
        {"SV_NOT_AUTHORIZED", 11, "auth"},
        {"SV_POLICY_VIOLATION", 12, "modify"},
        {"SV_RECIPIENT_UNAVAILABLE", 13, "wait"},
        {"SV_REDIRECT", 14, "modify"},
        {"SV_REGISTRATION_REQUIRED", 15, "auth"},
        {"SV_REMOTE_SERVER_NOT_FOUND", 16, "cancel"},
        {"SV_REMOTE_SERVER_TIMEOUT", 17, "wait"},
        {"SV_RESOURCE_CONSTRAINT", 18, "wait"},
        {"SV_SERVICE_UNAVAILABLE", 19, "cancel"},
        {"SV_SUBSCRIPTION_REQUIRED", 20, "auth"},
        {"SV_UNDEFINED_CONDITION", 21, "cancel"},
        {"SV_UNEXPECTED_REQUEST", 22, "wait"})},
    {name = "sv_level", header = "types.h", title = "Levels of the log", text = "How much a line of the log matters.",
     is({"SV_ERROR", 0, "somebody has to do something"},
        {"SV_WARN", 1, "somebody may have to"},
        {"SV_INFO", 2, "what happens, in normal service"},
        {"SV_DEBUG", 3, "what helps to find a fault"})},
    {name = "sv_option_kind", header = "module.h", title = "Kinds of options", text = "What an option's value is.",
     is({"SV_OPTION_INT", 1, "a whole number; field is int64_t"},
        {"SV_OPTION_BOOL", 2, "true or false; field is bool"},
        {"SV_OPTION_STRING", 3, "field is an sv_str"},
        {"SV_OPTION_PERIOD", 4, "\"50ms\", \"30s\", \"5m\", \"2h\", \"1d\"; field is int64_t in ms"},
        {"SV_OPTION_SIZE", 5, "\"64k\", \"10M\"; field is int64_t in bytes"},
        {"SV_OPTION_ENUM", 6, "one of the words in `min`; int64_t, its place from 0"},
        {"SV_OPTION_LIST", 7, "list of strings; field is sv_str_list"})},
    {name = "sv_metric_kind", header = "module.h", title = "Kinds of metrics", text = "What a metric's value is.",
     is({"SV_METRIC_COUNTER", 1, "counts what has happened; never falls"},
        {"SV_METRIC_GAUGE", 2, "is now so much"})},
    {name = "sv_arg_kind", header = "command.h", title = "Kinds of a command's arguments", text = "What an argument's value is.",
     is({"SV_ARG_STRING", 1, "UTF-8 without control characters"},
        {"SV_ARG_INT", 2, "a whole number from `min` to `max`"},
        {"SV_ARG_PERIOD", 3, "\"50ms\", \"30s\", \"5m\", \"2h\", \"1d\", from `min` to `max`; arg_int: in ms"},
        {"SV_ARG_WORD", 4, "one of the words in `min`; arg_int: its place from 0"},
        {"SV_ARG_FLAG", 5, "--name and no value; arg_int: 1 if it is there"},
        {"SV_ARG_HOST", 6, "a domain that this server serves"},
        {"SV_ARG_ACCOUNT", 7, "name@host of a host that this server serves"},
        {"SV_ARG_LOCAL", 8, "the same, or with the resource of a session"},
        {"SV_ARG_ADDRESS", 9, "any address"},
        {"SV_ARG_SECRET", 10, "one line: asked for, or from standard input; never on the command line"},
        {"SV_ARG_FILE", 11, "a path; one that is not whole begins where the operator is"})},
    {name = "sv_column_kind", header = "command.h", title = "Kinds of an answer's columns", text = "What a field of an answer is.",
     is({"SV_COLUMN_TEXT", 1, "text"},
        {"SV_COLUMN_INT", 2, "field_int"},
        {"SV_COLUMN_BOOL", 3, "field_int: 0 is no"},
        {"SV_COLUMN_BYTES", 4, "field_int"},
        {"SV_COLUMN_PERIOD", 5, "field_int: in ms"},
        {"SV_COLUMN_TIME", 6, "field_int: ms since 1970"},
        {"SV_COLUMN_LIST", 7, "texts: each call of `field` adds one"})},
    {name = "sv_durability", header = "engine.h", title = "When a commit is done", text = "What a commit must survive before it is told done.",
     is({"SV_DURABLE_SYNC", 0, "a power cut"},
        {"SV_DURABLE_WRITE", 1, "the end of every process"},
        {"SV_DURABLE_NONE", 2, "nothing: it may be told before it is written"})},
    {name = "sv_store_kind", header = "engine.h", title = "Jobs of a store engine", text = "What a job asks of a store engine.",
     is({"SV_STORE_COMMIT", 1, "keep records"},
        {"SV_STORE_FOLD", 2, "apply changes to the rows, forget the records they came of"},
        {"SV_STORE_GET", 3, "one row"},
        {"SV_STORE_SCAN", 4, "all rows of an owner in a map"},
        {"SV_STORE_OWNERS", 5, "owners of a map, in order"},
        {"SV_STORE_RANGE", 6, "all rows of a map, piece by piece"})},
    {name = "sv_fault", header = "command.h", title = "Why a command was not done",
     text = "Why a command was not done; `stave` ends with 2 for USAGE, with 1 for the others.",
     is({"SV_FAULT_USAGE", 1, "an argument is wrong"},
        {"SV_FAULT_NOT_FOUND", 2, "what it is about is not there"},
        {"SV_FAULT_REFUSED", 3, "it may not be"},
        {"SV_FAULT_FAILED", 4, "it could not be"})},
}

-- Bits. `of`: the member that they are for.
local flags = {
    {name = "hook", header = "module.h", title = "Flags of a hook", of = "sv_hook.flags",
     is({"SV_HOOK_STORES", 1, "May write to a store: refused with resource-constraint when space is short."},
        {"SV_HOOK_GUARD", 2, "A guard: for what stores, authenticates, blocks or filters. While its module is in quarantine (too many " ..
                             "faults, or over its budget) it is never skipped: what reaches it is refused with service-unavailable, or " ..
                             "dropped if it can't be answered, and an occasion is refused, too. So it stands only where there is " ..
                             "something to refuse: at stanzas, at session/unsent, at session/bound (no resource is bound meanwhile) and at " ..
                             "account/removing (no account is deleted). Without this flag and the next one occasions without a stanza, and " ..
                             "MONITOR, are skipped, and stanzas refused."},
        {"SV_HOOK_OPEN", 4, "Skipped while its module is in quarantine: all goes on as if the module were not there. For what only " ..
                            "looks, or takes what is its own out of what passes. Not together with SV_HOOK_GUARD."},
        {"SV_HOOK_FINISHES", 8, "An event that waits in it when another generation of the module takes over is finished by the one that " ..
                                "it began with, never restarted."})},
    {name = "arg", header = "command.h", title = "Flags of an argument", of = "sv_arg.flags",
     is({"SV_ARG_REQUIRED", 1, "It must be given."},
        {"SV_ARG_OPTION", 2, "Given as --name VALUE; without this, by its place. Flags always are options."},
        {"SV_ARG_EXISTS", 4, "The account must exist."},
        {"SV_ARG_REMOVED", 8, "The host may also be one that a reload has removed; for the server's own commands, since no " ..
                              "module runs there."},
        {"SV_ARG_REST", 16, "The last by its place: on the command line it takes all that follows, too, with a blank between."})},
    {name = "who", header = "command.h", title = "Who may use a command", of = "sv_command.who",
     text = "Who may use it besides operators, who may use all; for faces that know who asks.",
     is({"SV_WHO_ADMIN", 1, "admins of the host that it is about"},
        {"SV_WHO_OWNER", 2, "whoever has the account that it is about"})},
    {name = "command", header = "command.h", title = "Flags of a command", of = "sv_command.flags",
     is({"SV_COMMAND_CHANGES", 1, "it changes something"},
        {"SV_COMMAND_OFFLINE", 2, "it works without a running server, on the stored data"},
        {"SV_COMMAND_ONE", 4, "the answer is one record: a line for each field"},
        {"SV_COMMAND_PLAIN", 8, "the answer is printed without heads"},
        {"SV_COMMAND_STORES", 16, "it needs space in the store: refused while that is short"})},
}

-- ---- hook points ---------------------------------------------------------------------------------------------------

--[[ Of each: `meaning` (half a sentence), `from`, `to`, `stanza`, `session`, `subject`: what the event's are there (nil: there is
none; `about` is short for from and to being one account or host), `done`: what saying DONE comes to, `default`: what happens if nobody
does, `later`: true if a handler may say LATER, else why not. PASS asks the next handler everywhere. ]]
local points = {}

local function point(name)
    return function(entry)
        entry.name = name
        points[#points + 1] = entry
    end
end

local INSIDE = "it is part of the event that fires it"
local SENDER, RECIPIENT = "the sender", "the recipient"
local ACCOUNT, HOST = "the account", "empty: it is about the host"
local DISPOSED = "the handler has disposed of the stanza"
local HEARD = "no later handler hears of it"
local NOTHING = "nothing"

point "stanza/inbound" {meaning = "every stanza from a client or peer, before any other",
    from = SENDER, to = RECIPIENT, stanza = "as it came, with the sender's full JID as `from`", session = "the sender's", subject = nil,
    done = DISPOSED, default = "it goes on to the sender's side, or to its scope", later = true}

-- Scopes are in this order, kinds too: the core counts on it.
local scopes = {
    {"out", "sent by a local session to somebody else; the sender's side"},
    {"self", "to the sender's own account"},
    {"account", "to a local account that is not the sender's"},
    {"resource", "to a session that is on line"},
    {"host", "to a local domain"},
    {"remote", "to a domain that is not local"},
}
local REQUEST_DEFAULT = "refused with service-unavailable (RFC 6120 10.3.3)"
local ANSWER_DEFAULT = "dropped by the rule answer-unclaimed (RFC 6120 10.3.3 rule 3)"
local defaults = {
    ["message"] = {rest = "returned with service-unavailable; errors and headlines are dropped (RFC 6121 8.5.4)",
                   remote = "returned with remote-server-not-found; errors are dropped", resource = "it is delivered to the session"},
    ["presence"] = {rest = "dropped by the rule presence-unclaimed", remote = "returned with remote-server-not-found; errors are dropped",
                    resource = "it is delivered to the session; subscriptions and probes are dropped"},
    ["iq-get"] = {rest = REQUEST_DEFAULT, remote = "refused with remote-server-not-found", resource = "it is delivered to the session"},
    ["iq-set"] = {rest = REQUEST_DEFAULT, remote = "refused with remote-server-not-found", resource = "it is delivered to the session"},
    ["iq-result"] = {rest = ANSWER_DEFAULT, remote = ANSWER_DEFAULT, resource = "it is delivered to the session"},
    ["iq-error"] = {rest = ANSWER_DEFAULT, remote = ANSWER_DEFAULT, resource = "it is delivered to the session"},
}
for _, kind in ipairs({"message", "presence", "iq-get", "iq-set", "iq-result", "iq-error"}) do
    for _, scope in ipairs(scopes) do
        local name, meaning = scope[1], scope[2]
        local default = name == "out" and "it goes on to its scope" or defaults[kind][name] or defaults[kind].rest
        point(kind .. "/" .. name) {meaning = meaning, from = SENDER, to = RECIPIENT, stanza = "the stanza",
            session = "the sender's, if it is local", subject = nil, done = DISPOSED, default = default, later = true}
    end
end

point "session/bound" {meaning = "a resource was bound",
    from = "the session (full)", to = ACCOUNT, session = "that session", done = HEARD, default = NOTHING, later = true}
point "session/presence" {meaning = "a session's own presence changed",
    from = "the session (full)", to = ACCOUNT, session = "that session", stanza = "its new presence; none: it is unavailable",
    done = HEARD, default = NOTHING, later = true}
point "session/gone" {meaning = "a session ended, for whatever reason",
    from = "the session (full)", to = ACCOUNT, session = "that session, until the event waits", done = HEARD, default = NOTHING,
    later = true}
point "session/unsent" {meaning = "a stanza for a session was never written to it",
    from = "the session that it was for (full)", to = "as the stanza says; without `to` the session's account", session = "that session",
    stanza = "the stanza", done = DISPOSED, later = true,
    default = "requests are refused with service-unavailable, the rest is dropped by the rule unsent"}
point "account/added" {meaning = "an account was made", about = ACCOUNT, subject = "its address", done = HEARD, default = NOTHING,
    later = INSIDE}
point "account/removed" {meaning = "an account was deleted", about = ACCOUNT, subject = "its address", done = HEARD, default = NOTHING,
    later = INSIDE}
point "roster/changed" {meaning = "a roster item changed", header = "roster.h", about = ACCOUNT,
    subject = "the contact, a line feed and the new record; no record: the item was removed", done = HEARD, default = NOTHING,
    later = INSIDE}
point "session/written" {meaning = "all that was pushed to it from rows has been written",
    from = "the session (full)", to = ACCOUNT, session = "that session", done = HEARD, default = NOTHING, later = true}
point "session/silent" {meaning = "nothing came from its client for long: handlers ask for a sign of life, else it ends",
    from = "the session (full)", to = ACCOUNT, session = "that session", done = HEARD, later = true,
    default = "the session ends unless something comes in time"}
point "host/ready" {meaning = "the host's modules have started and their hooks are in place; again after some of them were loaded anew", about = HOST, done = HEARD,
    default = NOTHING, later = true}
point "command/run" {meaning = "a command of a module runs; only that module is asked", about = "the account that it is about, else the host's domain",
    done = "answered, or not done for a reason that was given", default = "the operator is told that the module did not answer",
    later = true, declared = "sv_command.run"}
point "stanza/made" {meaning = "routed by a module in the name of a local account to somebody else; that account's side",
    from = "the account in whose name it is sent", to = RECIPIENT, stanza = "the stanza", done = DISPOSED,
    default = "it goes on to its scope", later = true}
point "message/nobody" {meaning = "to a local account that does not exist: dropped or refused, there is nobody to store for",
    from = SENDER, to = RECIPIENT, stanza = "the stanza", session = "the sender's, if it is local", done = DISPOSED, later = true,
    default = "returned with service-unavailable; errors and headlines are dropped"}
point "presence/nobody" {meaning = "the same for presence",
    from = SENDER, to = RECIPIENT, stanza = "the stanza", session = "the sender's, if it is local", done = DISPOSED, later = true,
    default = "dropped by the rule presence-to-nobody"}
point "store/sweep" {meaning = "an account's turn in a round over a map", about = ACCOUNT, subject = "the map, as \"module/name\"",
    done = HEARD, default = NOTHING, later = true}
point "host/timer" {meaning = "begun by a module's timer", about = HOST, subject = "the module's name", done = HEARD, default = NOTHING,
    later = true}
point "disco/host" {fired = true, meaning = "what else the host is", header = "disco.h", about = HOST, subject = "the node, empty for none", done = HEARD,
    default = NOTHING, later = INSIDE}
point "disco/account" {fired = true, meaning = "what else an account is", header = "disco.h", about = ACCOUNT, subject = "the node, empty for none",
    done = HEARD, default = NOTHING, later = INSIDE}
point "disco/host-items" {fired = true, meaning = "which items the host has", header = "disco.h", about = HOST, subject = "the node, empty for none",
    done = HEARD, default = NOTHING, later = INSIDE}
point "disco/account-items" {fired = true, meaning = "which items an account has", header = "disco.h", about = ACCOUNT,
    subject = "the node, empty for none", done = HEARD, default = NOTHING, later = INSIDE}
point "disco/changed" {fired = true, meaning = "a module offers something else than before at disco/host", header = "disco.h", about = HOST, done = HEARD,
    default = NOTHING, later = INSIDE}
point "disco/told" {meaning = "what the host tells of itself from now on", header = "disco.h", about = HOST, subject = "the <query/> as text",
    done = HEARD, default = NOTHING, later = INSIDE}
point "caps/known" {meaning = "the features of a session's client have become known", header = "caps.h", about = ACCOUNT,
    subject = "the session's address (full)", done = HEARD, default = NOTHING, later = true}
point "roster/shared" {fired = true, meaning = "asked for contacts that an account does not list itself", header = "roster.h", about = ACCOUNT,
    done = HEARD, default = NOTHING, later = INSIDE}
point "roster/reshared" {fired = true, meaning = "what is shared with an account may have changed", about = ACCOUNT, done = HEARD, default = NOTHING,
    later = true}
point "account/disabled" {meaning = "nobody may log in to an account any more", about = ACCOUNT, subject = "its address", done = HEARD,
    default = NOTHING, later = INSIDE}
point "account/enabled" {meaning = "somebody may log in to it again", about = ACCOUNT, subject = "its address", done = HEARD,
    default = NOTHING, later = INSIDE}
point "account/removing" {meaning = "an account is being deleted: fired again until its handlers write nothing, before account/removed; a " ..
    "handler may say LATER, and refuses if it can't do its part now", about = ACCOUNT, subject = "its address", later = true,
    done = "the deletion ends here, and goes on when it is asked for again: so a handler refuses", default = "the deletion goes on"}
point "offline/turn" {meaning = "another session of an account may take what is kept for it", about = ACCOUNT, done = HEARD,
    default = NOTHING, later = true}
point "archive/read" {meaning = "a session has been sent a page of its account's archive", about = ACCOUNT,
    subject = "the ids of what others had sent in it, each with a blank behind it", done = HEARD, default = NOTHING, later = true}
point "host/item" {meaning = "an item of the host was set, changed or taken away", about = HOST, subject = "its name", done = HEARD,
    default = NOTHING, later = true}
point "stream/element" {meaning = "a top-level element that is no stanza, on a stream that has logged in", header = "stream.h",
    from = "the session (full); before a resource is bound the account (bare)", to = ACCOUNT,
    session = "the stream's; before a resource is bound none", stanza = "the element itself, which is also what a filter is about",
    done = "it is done with", default = "the stream ends with unsupported-stanza-type", later = true}
point "session/away" {meaning = "the connection of a counted session has ended; it stays", header = "stream.h",
    from = "the session (full)", to = ACCOUNT, session = "that session", done = HEARD, default = NOTHING, later = true}
point "session/back" {meaning = "a stream has taken up a counted session", header = "stream.h",
    from = "the session (full)", to = ACCOUNT, session = "that session", subject = "recovered if it is one from before the server's start, else empty",
    done = HEARD, default = NOTHING, later = true}
point "session/handled" {meaning = "what a counted session has sent is handled, or that takes long", header = "stream.h",
    from = "the session (full)", to = ACCOUNT, session = "that session", done = HEARD, default = NOTHING, later = true}
point "session/unacked" {meaning = "a counted session's client was sent much, or nothing more for a while, and has not acknowledged it", header = "stream.h",
    from = "the session (full)", to = ACCOUNT, session = "that session", done = HEARD, default = NOTHING, later = true}
point "message/returned" {meaning = "an error was returned for a message of a local session, which has it",
    from = "whom the message was for", to = "the session (full)", session = "that session", stanza = "the error", done = HEARD,
    default = NOTHING, later = true}
point "session/sending" {meaning = "a stanza goes to a session that a module holds back (session_hold)",
    from = "the session that it is for (full)", to = ACCOUNT, session = "that session", stanza = "the stanza",
    done = DISPOSED .. ", or has it wait (hold)", later = "what comes behind it would be overtaken", default = "it goes, behind what waits"}
point "presence/ending" {meaning = "what a contact on this or another host removes from its roster, or loses with its account: the account's side of the subscriptions ends in the same event",
    about = ACCOUNT, subject = "the contact's state in two hexadecimal digits (roster.h), a blank, the contact's address", done = HEARD, default = NOTHING, later = INSIDE}

-- ---- functions -----------------------------------------------------------------------------------------------------

--[[ Groups, each with its functions; the order of the table itself is the header's. A group has the version of its newest function: the
minor release that appended it (`since`, 1 where nothing is said). Its functions are members of sv_api, or of a table of its own that
sv->query gives: then `table` names the struct, `given_by` the server's function without arguments that returns it, `include` its header.
    {NAME, MARK, LUA SIGNATURE}       or {NAME, MARK, hand = LUA SIGNATURE}, or {NAME, MARK, no_lua = why not}
`says` is what doc/reference/lua.md says of it, where the comment in the header speaks of C.
A function that no test module calls has `untested = why not`. ]]
local groups = {
    {name = "core", title = "Time, log, memory",
     {"now_s", "local", "sv.now_s(): integer",
      says = "Wall clock in seconds since 1970 (UTC)."},
     {"now_ms", "local", "sv.now_ms(): integer",
      says = "Wall clock in milliseconds since 1970 (UTC)."},
     {"log", "message", hand = "sv.log(level: level, event: string, fields: table?)",
      says = "Writes a log line: level (\"error\", \"warn\", \"info\", \"debug\"), a name for the event, and up to 15 fields."},
     {"host", "local", "sv.host(): string"},
     {"scratch", "local", no_lua = "Lua has memory of its own"},
     {"format", "local", no_lua = "string.format"},
     {"random_hex", "local", hand = "event:random_hex(bytes: integer): string"},
     {"stamp", "local", hand = "event:stamp(ms: integer): string"},
     {"query", "local", no_lua = "what there is in Lua is there, or nil"},
     {"digest", "local", "event:digest(function: string, bytes: string): string?",
      says = "The digest of some bytes in base64 by a function of XEP-0414 (\"sha-256\", \"sha3-256\" ...); nil if there is none of that name."},
    },
    {name = "memory", title = "Memory that is counted",
     {"alloc", "local", no_lua = "Lua has memory of its own"},
     {"alloc_resize", "local", no_lua = "Lua has memory of its own"},
     {"free", "local", no_lua = "Lua has memory of its own"},
     {"str_dup", "local", no_lua = "Lua has memory of its own"},
     {"str_free", "local", no_lua = "Lua has memory of its own"},
    },
    {name = "metrics", title = "Metrics",
     {"metric_add", "message", no_lua = "sv.metric gives what counts"},
     {"metric_set", "message", no_lua = "sv.metric gives what counts"},
    },
    {name = "generations", title = "From one generation to the next",
     {"save_bytes", "local", no_lua = "a script begins with a fresh state"},
     {"save_int", "local", no_lua = "a script begins with a fresh state"},
     {"saved_bytes", "local", no_lua = "a script begins with a fresh state"},
     {"saved_int", "local", no_lua = "a script begins with a fresh state"},
     {"shared", "native", no_lua = "hosts share a script's state already"},
     {"table", "native", no_lua = "a script begins with a fresh state"},
     {"table_get", "native", no_lua = "a script begins with a fresh state"},
     {"table_put", "native", no_lua = "a script begins with a fresh state"},
     {"table_del", "native", no_lua = "a script begins with a fresh state"},
     {"table_next", "native", no_lua = "a script begins with a fresh state"},
     {"table_count", "native", no_lua = "a script begins with a fresh state"},
    },
    {name = "timers", title = "Timers",
     {"every", "local", no_lua = "sv.every of Lua may also be called once for all"},
    },
    {name = "stanza", title = "Reading and building stanzas",
     {"stanza", "local", "event:stanza(): stanza?"},
     {"root", "local", "event:root(): node?",
      says = "The root element of the event's stanza; nil without one."},
     {"stanza_root", "local", "stanza:root(): node"},
     {"payload", "local", "event:payload(): node?"},
     {"name", "local", "node:name(): string",
      says = "An element's name, without prefix."},
     {"ns", "local", "node:ns(): string",
      says = "An element's namespace."},
     {"attr", "local", "node:attr(name: string): string?",
      says = "An attribute's value, or nil."},
     {"is", "local", "node:is(name: string, ns: string): boolean"},
     {"first", "local", "node:first(): node?",
      says = "Its first child element."},
     {"next", "local", hand = "node:next(child: node): node?",
      says = "The child element behind `child`."},
     {"find", "local", "node:find(name: string, ns: string?): node?",
      says = "Its first child element with that name (and namespace), or nil."},
     {"text", "local", "node:text(): string",
      says = "All character data directly inside."},
     {"type", "local", "event:type(): string"},
     {"attr_ns", "local", "node:attr_ns(name: string, ns: string): string?",
      says = "An attribute in a namespace, such as xml:lang, or nil."},
     {"draft", "local", no_lua = "an element is written as a table"},
     {"child", "local", no_lua = "an element is written as a table"},
     {"set", "local", no_lua = "an element is written as a table"},
     {"set_int", "local", no_lua = "an element is written as a table"},
     {"add_text", "local", no_lua = "an element is written as a table"},
     {"graft", "local", no_lua = "an element is written as a table"},
     {"freeze", "local", no_lua = "an element is written as a table"},
     {"with_attrs", "local", hand = "event:with_attrs(stanza: element, pairs: table): stanza",
      says = "The stanza with attributes of its root changed: {type = \"chat\", id = false}; false takes one away."},
     {"with_child", "local", hand = "event:with_child(stanza: element, child: element): stanza"},
     {"stanza_ref", "local", hand = "stanza:keep(): stanza",
      says = "The stanza with a reference of its own: it may be kept after the handler returned, 1000 of them and 16 MiB in all."},
     {"stanza_unref", "local", no_lua = "what Lua does not hold any more is given back by itself"},
     {"stanza_bytes", "local", hand = "event:stanza_bytes(stanza: element): string",
      says = "The stanza as text, to be stored."},
     {"stanza_parse", "local", hand = "event:stanza_parse(bytes: string): stanza?, word",
      says = "A stanza from such text; nil and \"inval\" if it is not one element."},
    },
    {name = "addresses", title = "Addresses",
     {"from", "local", "event:from(): jid?",
      says = "The event's sender; at occasions of a session its address."},
     {"to", "local", "event:to(): jid?",
      says = "The event's recipient."},
     {"jid_parse", "local", "event:jid_parse(text: string): jid?",
      says = "A text as an address; nil if it is malformed."},
     {"is_local", "local", "event:is_local(jid: jid): boolean"},
     {"account_exists", "local", "event:account_exists(): boolean"},
     {"is_admin", "local", "event:is_admin(jid: jid): boolean"},
     {"is_guest", "native", "event:is_guest(jid: jid): boolean"},
    },
    {name = "sessions", title = "Sessions",
     {"session", "local", "event:session(): session?",
      says = "The session that sent the event's stanza, or that the occasion is about; nil if it came from elsewhere, or has gone."},
     {"session_next", "native", hand = "event:session_next(account: jid, after: session?): session?",
      says = "The sessions of a local account in order of binding: the first, or the one behind `after`; nil at the end."},
     {"session_find", "native", "event:session_find(full: jid): session?",
      says = "The session with this full address, or nil."},
     {"session_jid", "local", "session:jid(): jid",
      says = "Its full address."},
     {"session_presence", "local", hand = "session:presence(): stanza?",
      says = "Its newest available presence; nil while it is unavailable."},
     {"session_priority", "local", "session:priority(): integer",
      says = "Its priority; 0 while it is unavailable."},
     {"session_set_presence", "native", hand = "event:session_set_presence(session: session, presence: element?, priority: integer?)",
      says = "Sets both; nil makes it unavailable."},
     {"session_hold", "message", hand = "session:hold(max_stanzas: integer, max_bytes: integer, max_ms: integer)",
      says = "From now on what goes to the session is asked about at session/sending; what waits goes when a bound is reached."},
     {"session_release", "message", hand = "session:release()",
      says = "Sends what waits, in order, and asks no more."},
     {"session_data", "native", no_lua = "Lua keeps tables by session; what must outlive a reload is an item"},
    },
    {name = "items", title = "Named items on sessions and hosts",
     {"session_set_item", "message", hand = "session:set_item(name: string, value: string?)",
      says = "Sets a named item on a session of the host for all modules to read, of 4096 bytes at most; nil takes it away. The name is the script's own, or begins with that and `-`, `/` or `.`."},
     {"session_item", "local", "session:item(name: string): string?",
      says = "An item of any module on the session, or nil."},
     {"host_set_item", "message", hand = "sv.host_set_item(name: string, value: string?): boolean?, word",
      says = "Sets a named text on the host for all its modules to read (\"archive/ready\"); nil takes it away."},
     {"host_item", "local", "sv.host_item(name: string): string?",
      says = "An item of any module on the host, or nil."},
    },
    {name = "hooks", title = "Verdicts, answers, what is sent, occasions",
     {"reply", "local", hand = "event:reply(payload: element?): verdict",
      says = "Answers the event's request with a result that holds the element, or nothing."},
     {"send", "local", no_lua = "event:reply sends"},
     {"refuse", "local", hand = "event:refuse(cond: cond, text: string?): verdict",
      says = "Answers with an error, perhaps with a text; what must not be answered (RFC 6120 8.3.1) is dropped. At account/removing it keeps the account."},
     {"refuse_text", "local", no_lua = "event:refuse takes a text"},
     {"refuse_with", "local", hand = "event:refuse_with(cond: cond, type: string?, specific: element): verdict",
      says = "As refuse, with an application-specific condition behind the defined one (RFC 6120 8.3.4); `type` nil is the one that the RFC recommends."},
     {"drop", "local", hand = "event:drop(rule: string): verdict",
      says = "Drops the event's stanza; the rule's name (a-z 0-9 -) appears in what the server counts."},
     {"hold", "local", hand = "event:hold(key: string?): verdict",
      says = "At session/sending: the stanza waits, in place of the one that waits under the same key."},
     {"consume", "local", hand = "event:consume(): verdict"},
     {"stored", "local", hand = "event:stored(): verdict"},
     {"deliver", "local", hand = "event:deliver(session: session): verdict",
      says = "Hands the event's stanza, as it is now, to a session of the recipient; may be called for several."},
     {"replace", "local", hand = "event:replace(stanza: element)"},
     {"pass", "local", no_lua = "a handler that returns nothing passes"},
     {"push", "local", hand = "event:push(session: session, stanza: element)",
      says = "Sends a stanza to one session (its address is the `to` if the stanza has none)."},
     {"route", "local", hand = "event:route(stanza: element)",
      says = "Sends a stanza to wherever its `to` says; `from` is the host, or somebody on it."},
     {"route_unasked", "local", hand = "event:route_unasked(stanza: element)"},
     {"push_stored", "local", hand = "event:push_stored(session: session, stanza: element, store: store, owner: string, key: string?)",
      says = "As push, for a stanza kept in a row: the row goes when the stanza was handed over, and stays if it never was."},
     {"push_copy", "local", hand = "event:push_copy(session: session, stanza: element)",
      says = "As push, for the event's stanza in another wrapping (a carbon): counted as a copy, and on its way when the stanza itself is."},
     {"fire", "native", hand = "event:fire(on: string, account: jid?, subject: string?)",
      says = "Fires an occasion as part of this event."},
     {"gather", "native", hand = "event:gather(on: string, account: jid?, subject: string?): table",
      says = "Fires an occasion as part of this event and returns the lines that its handlers offered."},
     {"gather_at", "native", no_lua = "what hosts tell each other is for the modules that keep both sides alike"},
     {"offer", "local", hand = "event:offer(line: string)",
      says = "In a handler of an occasion: gives a line (without line feed) to whoever gathers."},
     {"begin", "message", hand = "sv.begin(on: string, subject: string?)",
      says = "Fires an occasion about the host as an event of its own."},
     {"fire_after", "local", hand = "event:fire_after(on: string, account: jid?, subject: string?)",
      says = "Fires an occasion as an event of its own when this one is over; its handlers may wait and write."},
     {"subject", "local", "event:subject(): string"},
     {"fleeting", "local", no_lua = "which messages are is for the modules that know their kinds"},
     {"after_wait", "local", no_lua = "a script reads and writes rows that are its own"},
    },
    {name = "store", title = "Stores",
     {"store_open", "message", no_lua = "sv.store declares one"},
     {"put", "local", hand = "store:put(owner: string, key: string?, value: string): boolean?, word",
      says = "Writes a row; what one event writes is durable together, or not at all. An owner is the localpart of an account, and its rows go with it; what belongs to none has an owner with a `/`."},
     {"del", "local", hand = "store:del(owner: string, key: string?): boolean?, word",
      says = "Deletes a row."},
     {"del_owner", "local", hand = "store:del_owner(owner: string): boolean?, word",
      says = "Deletes all rows of the owner."},
     {"rows", "native", hand = "store:rows(owner: string): rows?, word yields",
      says = "The owner's rows; waits if they are not in memory."},
     {"rows_load", "message", no_lua = "store:rows loads what is not in memory"},
     {"rows_keep", "message", hand = "store:keep(session: session): rows?, word yields",
      says = "The rows of the session's account, which stay in memory as long as it lives."},
     {"rows_hold", "message", no_lua = "store:keep loads and holds"},
     {"rows_warm", "message", no_lua = "what hosts tell each other is for the modules that keep both sides alike"},
     {"rows_held", "native", hand = "store:held(owner: string): boolean",
      says = "True if a session, or an event, has the owner's rows in memory."},
     {"row", "local", "rows:row(key: string): string?",
      says = "The value under a key, or nil."},
     {"row_next", "local", hand = "rows:next(key: string?): string?, string?",
      says = "The first row, or the one behind `key`: its key and its value."},
     {"row_count", "local", "rows:count(): integer"},
     {"row_bytes", "local", "rows:bytes(): integer",
      says = "How long all values are together."},
     {"get", "message", hand = "store:get(owner: string, key: string?): string?, word yields",
      says = "One value, without loading the owner's others; nil and \"notfound\" if there is none."},
     {"has_space", "native", "event:has_space(): boolean"},
     {"sweep", "message", no_lua = "a timer goes over sv.accounts"},
     {"store_open_versions", "message", no_lua = "a script knows one version of its records"},
     {"store_schema", "local", no_lua = "a script knows one version of its records"},
     {"row_schema", "local", no_lua = "a script knows one version of its records"},
     {"get_schema", "message", no_lua = "a script knows one version of its records"},
    },
    {name = "overlay", title = "Rows that are not stored",
     {"store_overlay", "native", no_lua = "it is called while rows are read, which can't wait for a script"},
     {"overlay_add", "native", no_lua = "only an overlay calls it"},
     {"overlay_changed", "message", no_lua = "only the module of an overlay knows"},
     {"overlay_differences", "native", no_lua = "only the module of an overlay knows"},
     {"row_stored", "native", "rows:stored(key: string): string?",
      says = "What is stored under a key, without what is added (overlays)."},
     {"row_added", "native", "rows:added(key: string): string?",
      says = "What is added under a key, without what is stored."},
     {"rows_mark", "native", "rows:mark(): integer"},
    },
    {name = "features", title = "What the host tells of itself",
     {"feature_at", "native", "sv.feature_at(of_accounts: boolean, i: integer): string",
      says = "Features of all modules enabled on the host (or of accounts): number `i` from 0 on; empty at the end."},
     {"set_stream_feature", "message", hand = "sv.set_stream_feature(xml: string): boolean?, word",
      says = "Sets the elements that clients see among the stream features after login besides the declared ones, as text of XML; empty takes them away."},
    },
    {name = "commands", title = "Commands", header = "command.h",
     {"arg_text", "local", hand = "event:arg_text(name: string): string?",
      says = "An argument as text; nil if it was not given."},
     {"arg_int", "local", hand = "event:arg_int(name: string): integer",
      says = "An argument as number; 0 if it was not given."},
     {"arg_jid", "local", hand = "event:arg_jid(name: string): jid?",
      says = "An argument as address; nil if it was not given."},
     {"record", "local", hand = "event:record(): boolean",
      says = "Begins a record of the answer; false if the page is full: then answer_more."},
     {"field", "local", hand = "event:field(column: string, value: value)",
      says = "Sets a field of it, as the kind of its column says: a text, a whole number, a truth, a list of texts."},
     {"field_int", "local", no_lua = "event:field knows the column's kind"},
     {"answer", "local", hand = "event:answer(records: table?): verdict",
      says = "Ends the command; {{column = value}, ...} adds records before."},
     {"answer_more", "local", hand = "event:answer_more(from: string): verdict",
      says = "Ends this page of the answer; the command runs again, and asked_from gives this text (1 to 4096 bytes)."},
     {"asked_from", "local", hand = "event:asked_from(): string"},
     {"fail", "local", hand = "event:fail(fault: fault, text: string): verdict",
      says = "Ends the command: not done, for this reason: \"usage\", \"not-found\", \"refused\", \"failed\"."},
    },
    {name = "files", title = "Files that the operator names",
     {"follow_file", "message", no_lua = "scripts have options only"},
    },
    {name = "accounts", title = "Accounts",
     {"accounts", "message", hand = "sv.accounts(after: string?, max: integer): table?, boolean yields",
      says = "Names of the host's accounts in order, `max` (1 to 1000) at most, behind `after`; and whether there are more."},
    },
    {name = "auth", title = "Accounts that a back end keeps", header = "auth.h",
     {"auth_register", "message", no_lua = "back ends are modules in C"},
     {"auth_done", "message", no_lua = "back ends are modules in C"},
     {"auth_give_keys", "message", no_lua = "back ends are modules in C"},
     {"auth_give_name", "message", no_lua = "back ends are modules in C"},
    },
    {name = "stream", title = "Counted sessions, and elements that are no stanzas", header = "stream.h", table = "sv_stream_api",
     given_by = "svi_stream_table", include = "mods/mods_stream.h",
     {"write", "local", no_lua = "the protocol of a stream is for modules in C"},
     {"fail", "local", no_lua = "the protocol of a stream is for modules in C"},
     {"count", "local", no_lua = "the protocol of a stream is for modules in C"},
     {"tally", "local", no_lua = "the protocol of a stream is for modules in C"},
     {"want_handled", "local", no_lua = "the protocol of a stream is for modules in C"},
     {"acked", "local", no_lua = "the protocol of a stream is for modules in C"},
     {"resume", "native", no_lua = "the protocol of a stream is for modules in C"},
     {"since_ms", "local", no_lua = "the protocol of a stream is for modules in C"},
    },
    {name = "engine", title = "Sockets, threads and the store, for engine modules", header = "engine.h", table = "sv_engine_api",
     given_by = "svi_engine_table", include = "mods/mods_engine_impl.h",
     {"watch", "native", no_lua = "engines are modules in C"},
     {"watch_for", "native", no_lua = "engines are modules in C"},
     {"unwatch", "native", no_lua = "engines are modules in C"},
     {"waker", "native", no_lua = "engines are modules in C"},
     {"wake", "native", no_lua = "engines are modules in C"},
     {"deadline", "native", no_lua = "engines are modules in C"},
     {"deadline_cancel", "native", no_lua = "engines are modules in C"},
     {"worker", "native", no_lua = "engines are modules in C"},
     {"give", "native", no_lua = "engines are modules in C"},
     {"take", "native", no_lua = "engines are modules in C"},
     {"worker_fd", "native", no_lua = "engines are modules in C"},
     {"worker_ends", "native", no_lua = "engines are modules in C"},
     {"post", "native", no_lua = "engines are modules in C"},
     {"store_register", "native", no_lua = "engines are modules in C"},
     {"recover_unit", "native", no_lua = "engines are modules in C"},
     {"recover_ends", "native", no_lua = "engines are modules in C"},
     {"recover_folded", "native", no_lua = "engines are modules in C"},
     {"job_change", "native", no_lua = "engines are modules in C"},
     {"job_row", "native", no_lua = "engines are modules in C"},
     {"job_more", "native", no_lua = "engines are modules in C"},
     {"job_done", "native", no_lua = "engines are modules in C"},
    },
    {name = "archive", title = "Archives", header = "archive.h", table = "sv_archive_api",
     given_by = "svi_archive_table", include = "mods/mods_api.h",
     {"open", "message", no_lua = "archives are modules in C"},
     {"add", "message", no_lua = "archives are modules in C"},
     {"added", "local", no_lua = "archives are modules in C"},
     {"read", "message", no_lua = "archives are modules in C"},
     {"purge", "message", no_lua = "archives are modules in C"},
     {"measure", "message", no_lua = "archives are modules in C"},
     {"sweep", "message", no_lua = "archives are modules in C"},
    },
}

--[[ What there is in Lua besides, each with a sentence; written by hand as well. ]]
local besides = {
    {"event:sleep(ms: integer) yields", "Waits, 30000 ms at most."},
    {"event:iq(iq: element): stanza?, word yields",
     "Asks in the host's name; the answer, of type result or error, or nil and \"timeout\", or \"limit\" if the script keeps too many stanzas."},
    {"event:attr(name: string): string?", "That attribute of its stanza, as the next two quicker than by a view of it."},
    {"event:has(name: string, ns: string?): boolean", "True if its stanza has such a child element."},
    {"event:text_of(name: string, ns: string?): string?", "The text in the first such child."},
    {"event:work(file: string, function: string, arguments: values?): values? yields",
     "Calls a function of a file that sv.work names on another thread, in a state of its own: it sees its arguments and the library, " ..
     "nothing of Stave. Plain values are copied both ways (1 MiB, 16 deep). What it returns; or nil and why not."},
    {"node:children(): iterator", "The child elements, one by one: `for child in node:children() do`."},
    {"node:table(): table", "The element as a table, as elements are written: to be changed and sent."},
    {"node:has(name: string, ns: string?): boolean", "True if there is a child element of that name (and namespace)."},
    {"node:text_of(name: string, ns: string?): string?", "The text in the first child element of that name (and namespace)."},
    {"stanza:children(): iterator", "Those of its root, as the next three."},
    {"stanza:table(): table", "The stanza as a table."},
    {"stanza:has(name: string, ns: string?): boolean", "True if the stanza has such a child."},
    {"stanza:text_of(name: string, ns: string?): string?", "The text in the first such child."},
    {"rows:pairs(): iterator", "All rows in the order of their keys: `for key, value in rows:pairs() do`."},
}

--[[ Structs of the headers, and how they may grow: "size" (begins with its size, or the descriptor says it), "stride" (its table's
stride is in the descriptor), "never" (given by value, or made by the one who is handed it). ]]
local structs = {
    sv_api = "size", sv_module_desc = "size", sv_table_desc = "size", sv_auth = "size", sv_auth_keys = "size",
    sv_stream_api = "size", sv_counting = "size", sv_tally = "size", sv_engine_api = "size", sv_worker_desc = "size", sv_store_engine = "size", sv_store_job = "size",
    sv_store_change = "size", sv_store_space = "size", sv_overlay = "size", sv_hold = "size",
    sv_archive_api = "size", sv_archive_entry = "size", sv_archive_query = "size", sv_archive_page = "size",
    sv_archive_bounds = "size", sv_archive_figures = "size", sv_archive_item = "never",
    sv_hook = "stride", sv_option = "stride", sv_command = "stride", sv_arg = "stride", sv_column = "stride",
    sv_metric = "stride",
    sv_str = "never", sv_str_list = "never", sv_jid = "never", sv_err = "never",
}

return {major = 0, minor = 1, enums = enums, flags = flags, points = points, groups = groups, structs = structs, besides = besides}
