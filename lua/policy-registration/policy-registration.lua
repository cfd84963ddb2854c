-- New accounts: for a time they write to contacts only, and little; names that pass for the staff's are told to the admins.
--
-- To change: `is_free` says whom a new account may always write to, RESERVED which names are told of, `on_added` what else is
-- done when an account is made. An account is made by whoever may (the command, a back end, an importer); by then it can't be
-- refused. A module for in-band registration (XEP-0077) will have a point where it can: this file is where to ask for it.

sv.script {
    summary = "What new accounts may do, and which names are told to admins",
    changes = {"account/added", "message/out", "presence/out"},
    stores = {"added", "roster/items"},
    after = "?roster",
    sends = {"*"},
    policy = true,
}

sv.option {"new_for", kind = "period", preset = "1d", min = "0s", max = "365d", manual = "How long an account counts as new."}
sv.option {"strangers", kind = "bool", preset = "false",
           manual = "Whether a new account may write to addresses that are not subscribed with it in either direction."}
sv.option {"messages_per_day", kind = "int", preset = 200, min = 1, max = 1000000,
           manual = "How many messages a new account may send on a day (UTC)."}
sv.option {"requests_per_day", kind = "int", preset = 10, min = 1, max = 100000,
           manual = "How many subscription requests a new account may send on a day (UTC)."}
sv.option {"text", kind = "string", preset = "This account is new: for a time it may write to its contacts only.",
           manual = "What a new account is told that writes to a stranger."}
sv.option {"reserved", kind = "list", manual = "Names that are told of, besides those of the script."}
sv.option {"report_to", kind = "list", form = "jid",
           manual = "Addresses that get a message when an account is made whose name passes for one of these."}

local added = sv.store "added"            -- localpart -> when the account was made, in ms
local items = sv.store "roster/items"     -- <stave/roster.h>

local refused = sv.metric {"refused", kind = "counter", manual = "Messages and requests of new accounts that were refused."}

-- Children that make a stanza a message for people: "namespace name".
local ASKS = {
    ["jabber:client body"] = true,
    ["jabber:client subject"] = true,
    ["http://jabber.org/protocol/xhtml-im html"] = true,
    ["jabber:x:oob x"] = true,
    ["jabber:x:conference x"] = true,
    ["http://jabber.org/protocol/muc#user x"] = true,
    ["jabber:x:encrypted x"] = true,
    ["urn:xmpp:openpgp:0 openpgp"] = true,
    ["eu.siacs.conversations.axolotl encrypted"] = true,
    ["urn:xmpp:omemo:2 encrypted"] = true,
    ["urn:xmpp:sfs:0 file-sharing"] = true,
    ["urn:xmpp:sfs:0 sources"] = true,
    ["urn:xmpp:reference:0 reference"] = true,
    ["urn:xmpp:jingle-message:0 propose"] = true,
    ["urn:xmpp:call-invites:0 invite"] = true,
}

local function asks(root)
    for child in root:children() do
        if ASKS[child:ns() .. " " .. child:name()] then return true end
    end
    return false
end

-- ---- names --------------------------------------------------------------------------------------------------------

-- Names of five letters and more are sought anywhere in an account's name, shorter ones must be all of it.
local RESERVED = {"admin", "administrator", "abuse", "billing", "helpdesk", "hostmaster", "info", "moderator", "noreply", "official", "operator",
                  "postmaster", "root", "security", "staff", "support", "sysadmin", "webmaster"}

-- What looks alike becomes the same: digits for letters, some Cyrillic letters, "rn" for "m", "vv" for "w"; i, j, l and 1 are one.
local ALIKE = {["0"] = "o", ["1"] = "i", ["3"] = "e", ["4"] = "a", ["5"] = "s", ["7"] = "t", ["8"] = "b", ["9"] = "g", l = "i", j = "i",
               ["а"] = "a", ["е"] = "e", ["о"] = "o", ["р"] = "p", ["с"] = "c", ["у"] = "y", ["х"] = "x", ["і"] = "i", ["ѕ"] = "s",
               ["ԁ"] = "d", ["м"] = "m", ["т"] = "t", ["в"] = "b", ["к"] = "k", ["н"] = "h", ["ɡ"] = "g", ["ı"] = "i"}

local function skeleton(name)
    name = name:lower():gsub("[%._%-%+]", ""):gsub(utf8.charpattern, ALIKE)
    return (name:gsub("rn", "m"):gsub("vv", "w"))
end

-- The reserved name that it passes for, or nil.
local function passes_for(node)
    local name = skeleton(node)
    for _, reserved in ipairs(sv.self.names) do
        if name == reserved.form or #reserved.form >= 5 and name:find(reserved.form, 1, true) then return reserved.name end
    end
end

-- ---- when an account is made --------------------------------------------------------------------------------------

-- In memory: until when accounts count as new, in ms. Two halves, of which the older one goes.
local HALF = 2000

-- Long names take a digest's room.
local function short(key) return #key <= 64 and key or sv.hash.digest("sha256", key) end

local function remember(node, till)
    local me = sv.self
    node = short(node)
    if me.till[node] == nil then
        if me.till_count >= HALF then me.till_before, me.till, me.till_count = me.till, {}, 0 end
        me.till_count = me.till_count + 1
    end
    me.till[node] = till
end

local function new_until(node)
    local me = sv.self
    local till = me.till[short(node)]
    if till == nil then till = me.till_before[short(node)] end
    if till ~= nil then return till end
    local at = tonumber(added:get(node) or "0")
    till = at > 0 and at + me.new_for or 0
    if me.till[short(node)] == nil then remember(node, till) end -- else it was trusted meanwhile
    return till
end

local function report(ev, account, name)
    sv.log("warn", "registration-name", {account = account.bare, passes_for = name})
    for _, to in ipairs(sv.self.report_to) do
        ev:route {"message", to = to, type = "normal",
                  {"subject", "A new account passes for \"" .. name .. "\""},
                  {"body", "The account " .. account.bare .. " was made. If it is not yours: stave user disable " .. account.bare}}
    end
end

local function on_added(ev)
    local account, now = ev:from(), sv.now_ms()
    added:put(account.node, "", tostring(now))
    remember(account.node, now + sv.self.new_for)
    local name = passes_for(account.node)
    if name then report(ev, account, name) end
end
sv.on("account/added", on_added)

-- ---- what a new account may do ------------------------------------------------------------------------------------

-- Bits of a roster's record: FROM, TO, PENDING_IN, SHARED: the other one agreed, or asked.
local AGREED = 1 + 2 + 8 + 64

local function is_agreed(node, bare)
    local record = items:get(node, bare)
    local bits = record and tonumber(record:sub(3, 4), 16)
    return bits ~= nil and bits & AGREED ~= 0
end

local function is_free(ev, to)
    return ev:is_admin(to) or not to.node and ev:is_local(to)
end

-- How many of that kind the account sent today, this one among them; forgotten with the day, and when too many to remember.
local ACCOUNTS_MAX = 5000

local function count_today(node, kind)
    local me, day = sv.self, sv.now_s() // 86400
    if me.day ~= day or me.accounts >= ACCOUNTS_MAX then me.day, me.today, me.accounts = day, {}, 0 end
    local key = short(node)
    if not me.today[key] then me.today[key], me.accounts = {messages = 0, requests = 0}, me.accounts + 1 end
    local counts = me.today[key]
    counts[kind] = counts[kind] + 1
    return counts[kind]
end

local function refuse(ev, cond, text)
    refused:add(1)
    return ev:refuse(cond, text)
end

-- Guests have no account and are nobody's business here.
local function is_new(ev)
    local from = ev:from()
    return not ev:is_guest(from) and not ev:is_admin(from) and new_until(from.node) > sv.now_ms()
end

-- Open: while this module is in quarantine new accounts are as others. Who is new can't be told then, and to refuse what
-- everybody sends would be the greater harm. Nothing is stored here, so nothing waits for space.
local FREELY = {band = "early", after = "blocking", open = true, stores = false}

sv.on("message/out", function(ev)
    if ev:type() == "error" or not asks(ev:root()) or not is_new(ev) then return end
    local me, node, to = sv.self, ev:from().node, ev:to()
    if is_free(ev, to) then return end
    if not me.strangers and not is_agreed(node, to.bare) then return refuse(ev, "not-allowed", me.text) end
    if count_today(node, "messages") <= me.messages_per_day then return end
    return refuse(ev, "resource-constraint", "This account is new and has sent its messages of today.")
end, FREELY)

sv.on("presence/out", function(ev)
    if ev:type() ~= "subscribe" or not is_new(ev) then return end
    if count_today(ev:from().node, "requests") <= sv.self.requests_per_day then return end
    return refuse(ev, "resource-constraint", "This account is new and has sent its subscription requests of today.")
end, FREELY)

-- ---- for operators ------------------------------------------------------------------------------------------------

sv.command {"newcomer show", summary = "how long an account counts as new, and what it sent today", one = true,
    examples = "newcomer show romeo@example.org",
    args = {{"account", kind = "account", required = true, exists = true, manual = "whose"}},
    columns = {{"account"}, {"made", kind = "time"}, {"new-until", kind = "time"}, {"is-new", kind = "bool"},
               {"messages", kind = "int"}, {"requests", kind = "int"}},
    run = function(ev)
        local account, me = ev:arg_jid("account"), sv.self
        local at, till = tonumber(added:get(account.node) or ""), new_until(account.node)
        local counts = me.day == sv.now_s() // 86400 and me.today[short(account.node)] or {}
        return ev:answer {{account = account.bare, made = at, ["new-until"] = till > 0 and till or nil,
                           ["is-new"] = till > sv.now_ms(), messages = counts.messages or 0, requests = counts.requests or 0}}
    end}

sv.command {"newcomer trust", summary = "let an account be new no longer", changes = true, stores = true,
    examples = "newcomer trust romeo@example.org",
    args = {{"account", kind = "account", required = true, exists = true, manual = "which"}},
    run = function(ev)
        local node = ev:arg_jid("account").node
        if new_until(node) <= sv.now_ms() then return ev:fail("not-found", "the account is not new") end
        added:del(node)
        remember(node, 0)
        return ev:answer()
    end}

-- ---- over reloads -------------------------------------------------------------------------------------------------

sv.start(function()
    local me, saved = sv.self, sv.saved() or {}
    me.till, me.till_before, me.till_count = {}, {}, 0
    me.day, me.today, me.accounts = saved.day or 0, saved.today or {}, saved.accounts or 0
    me.names = {}
    for _, list in ipairs {RESERVED, me.reserved} do
        for _, name in ipairs(list) do me.names[#me.names + 1] = {name = name, form = skeleton(name)} end
    end
end)

sv.save(function()
    local me = sv.self
    return {day = me.day, today = me.today, accounts = me.accounts}
end)
