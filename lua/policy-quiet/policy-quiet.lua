-- Quiet hours: what comes in them is held back and handed over when they end, except from favourites. Nothing is lost: what is
-- held back lies in the store and goes when it was written to a session.
--
-- To change: ASKS says what rings, `is_favourite` whose may come at any time, `is_quiet` when it is quiet. Zones are fixed:
-- summer time is not known here.

sv.script {
    summary = "Hours in which messages wait, except those of favourites",
    changes = {"message/account", "message/resource", "session/presence", "session/written"},
    reads = {"session/gone", "account/removed"},
    stores = {"hours", "held", "roster/items"},
    after = "?roster ?blocking",
    sends = {"host"},
    policy = true,
}

sv.option {"hours", kind = "string", preset = "off",
           manual = "Quiet hours of accounts that have none of their own: such as \"22:00-07:00\", or \"off\"."}
sv.option {"zone", kind = "string", preset = "+00:00",
           manual = "How far local time is ahead of UTC, such as \"+01:00\", if nothing else is said."}
sv.option {"group", kind = "string", preset = "Favourites",
           manual = "The group of an account's roster whose members may always write; large and small letters are the same."}
sv.option {"max_held", kind = "int", preset = 500, min = 1, max = 10000,
           manual = "How many messages are held back for an account; further ones are refused."}
sv.option {"max_bytes", kind = "size", preset = "1M", min = "16k", max = "16M", manual = "How many bytes they may be together."}

local hours_of = sv.store "hours"         -- localpart -> "22:00-07:00 +01:00", or "off"; localpart, address -> it may always write
local held = sv.store "held"              -- localpart, time and chance -> the message
local items = sv.store "roster/items"     -- <stave/roster.h>

local kept = sv.metric {"held", kind = "counter", manual = "Messages that were held back."}

-- Children that make a device ring: "namespace name". Other messages (chat states, receipts, ...) pass.
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

local function is_call(root)
    return root:has("propose", "urn:xmpp:jingle-message:0") or root:has("invite", "urn:xmpp:call-invites:0")
end

local function asks(root)
    for child in root:children() do
        if ASKS[child:ns() .. " " .. child:name()] then return true end
    end
    return false
end

-- ---- hours --------------------------------------------------------------------------------------------------------

-- "22:00-07:00", "+01:00" -> {from, to, zone} in minutes; false for "off"; nil and why not.
local function parse(hours, zone)
    if hours == "off" then return false end
    local h1, m1, h2, m2 = hours:match("^(%d%d):(%d%d)%-(%d%d):(%d%d)$")
    if not h1 or tonumber(h1) > 23 or tonumber(h2) > 23 or tonumber(m1) > 59 or tonumber(m2) > 59 then
        return nil, ("\"%s\" are no hours such as 22:00-07:00, nor \"off\""):format(hours)
    end
    local sign, zh, zm = zone:match("^([+-])(%d%d):(%d%d)$")
    if not sign or tonumber(zh) > 14 or tonumber(zm) > 59 then
        return nil, ("\"%s\" is no zone such as +01:00"):format(zone)
    end
    local from, to, ahead = h1 * 60 + m1, h2 * 60 + m2, zh * 60 + zm
    if from == to then return nil, ("\"%s\" begins when it ends"):format(hours) end
    return {from = from, to = to, zone = sign == "-" and -ahead or ahead}
end

local function is_within(times, now_s)
    local minute = (now_s // 60 + times.zone) % 1440
    if times.from < times.to then return minute >= times.from and minute < times.to end
    return minute >= times.from or minute < times.to
end

-- In memory: accounts' hours. Two halves, of which the older one goes.
local HALF = 2000

-- Long names take a digest's room.
local function short(key) return #key <= 64 and key or sv.hash.digest("sha256", key) end

local function remember(node, times)
    local me = sv.self
    node = short(node)
    if me.times[node] == nil then
        if me.times_count >= HALF then me.times_before, me.times, me.times_count = me.times, {}, 0 end
        me.times_count = me.times_count + 1
    end
    me.times[node] = times
end

local function forget(node)
    local me = sv.self
    me.times[short(node)], me.times_before[short(node)] = nil, nil
    me.changes = me.changes + 1
end

-- Nil if they are not.
local function recalled(node)
    local me, key = sv.self, short(node)
    local times = me.times[key]
    if times == nil then times = me.times_before[key] end
    return times
end

-- Waits then.
local function times_of(node)
    local me, times = sv.self, recalled(node)
    if times ~= nil then return times end
    local changes = me.changes
    local hours, zone = (hours_of:get(node) or ""):match("^(%S+) ?(.*)$")
    times = me.preset
    if hours then times = parse(hours, zone ~= "" and zone or me.zone) or false end
    if me.changes == changes then remember(node, times) end -- else what was read may be old
    return times
end

local function is_quiet(node)
    local times = times_of(node)
    return times and is_within(times, sv.now_s())
end

-- ---- favourites ---------------------------------------------------------------------------------------------------

-- A record is a line with the name, and one for each group, behind a line of the module's own.
local function is_in_group(record, group)
    local line = 0
    for text in record:gmatch("([^\n]*)\n") do
        line = line + 1
        if line > 2 and text:lower() == group then return true end
    end
    return false
end

local function is_favourite(ev, from, to)
    if not from or from.bare == to.bare or ev:is_admin(from) or not from.node and from.domain == sv.host() then return true end
    if hours_of:get(to.node, from.bare) then return true end
    local record = items:get(to.node, from.bare)
    return record ~= nil and is_in_group(record, sv.self.group:lower())
end

-- ---- holding back -------------------------------------------------------------------------------------------------

-- Accounts for which something is held back, as far as they fit; sessions of the others ask when they come anew.
local PENDING_MAX, NAME_MAX = 10000, 256

local function is_pending(node)
    local me = sv.self
    if me.pending[node] or me.pending_count >= PENDING_MAX or #node > NAME_MAX then return end
    me.pending[node], me.pending_count = true, me.pending_count + 1
end

local function not_pending(node)
    local me = sv.self
    if me.pending[node] then me.pending[node], me.pending_count = nil, me.pending_count - 1 end
end

-- A call does not wait: that there was one is told.
local function missed_call(ev, now)
    local from = ev:from().bare
    return ev:stanza_bytes {"message", from = sv.host(), to = ev:to().bare, type = "normal",
                            {"body", from .. " called at " .. ev:stamp(now) .. "."},
                            {"delay", xmlns = "urn:xmpp:delay", from = sv.host(), stamp = ev:stamp(now)}}
end

local function stamped(ev, now)
    return ev:stanza_bytes(ev:with_child(ev:stanza(), {"delay", xmlns = "urn:xmpp:delay", from = sv.host(), stamp = ev:stamp(now)}))
end

-- Keys keep the order of arrival, also when the clock is set back; chance tells those of two runs apart.
local function next_key(ev, now)
    local me = sv.self
    me.newest, me.count = math.max(me.newest, now), me.count + 1
    return ("%013x%08x-%s"):format(me.newest, me.count & 0xFFFFFFFF, ev:random_hex(4))
end

local function hold(ev)
    local node, now = ev:to().node, sv.now_ms()
    local rows = held:rows(node)
    if not rows then return nil end -- it can't be held back: better heard than lost
    local rings = is_call(ev:root())
    local bytes = rings and missed_call(ev, now) or stamped(ev, now)
    if rows:count() >= sv.self.max_held or rows:bytes() + #bytes > sv.self.max_bytes then
        return ev:refuse("resource-constraint", "These are quiet hours, and too many messages wait already.")
    end
    if not held:put(node, next_key(ev, now), bytes) then return nil end
    is_pending(node)
    kept:add(1)
    if rings then return ev:drop("quiet-call") end
    return ev:stored()
end

local function on_message(ev)
    local type, from, to = ev:type(), ev:from(), ev:to()
    if type == "error" or type == "groupchat" or not asks(ev:root()) or ev:is_guest(to) then return end
    if not is_quiet(to.node) or is_favourite(ev, from, to) then return end
    return hold(ev)
end

-- Behind the archive, which has what is held back, too; `carbons` and `message` stand behind this. Open: while this module is in
-- quarantine messages are heard at night; what was held back before waits for it.
sv.on("message/account", on_message, {after = "archive", open = true})
sv.on("message/resource", on_message, {after = "archive", open = true})

-- ---- handing over -------------------------------------------------------------------------------------------------

-- A session gets so much at a time, and the next portion when that is written. Of what goes unseen so much goes in a turn.
local PORTION, PORTION_BYTES, UNSEEN = 64, 16384, 350

local function receiver(ev, bare)
    local best
    local session = ev:session_next(bare)
    while session do
        if session:presence() and session:priority() >= 0 and (not best or session:priority() > best:priority()) then best = session end
        session = ev:session_next(bare, session)
    end
    return best
end

-- XEP-0191: who was blocked since goes unseen (<stave/blocking.h>).
local function is_blocked(ev, session, stanza)
    local list, from = session:item("blocking-list"), ev:jid_parse(stanza:root():attr("from") or "")
    if not list or not from then return false end
    list = "\n" .. list .. "\n"
    for _, who in ipairs {from.full, from.bare, from.domain} do
        if list:find("\n" .. who .. "\n", 1, true) then return true end
    end
    return false
end

-- Rows go when they were written, so the first that are there are the next.
local function push_portion(ev, node, session, rows)
    local count, bytes, unseen = 0, 0, 0
    for key, value in rows:pairs() do
        if count >= PORTION or bytes >= PORTION_BYTES or unseen >= UNSEEN then break end
        local stanza = ev:stanza_parse(value)
        if stanza and is_blocked(ev, session, stanza) then
            held:del(node, key)
            unseen = unseen + 1
        elseif stanza then
            ev:push_stored(session, stanza, held, node, key)
            count, bytes = count + 1, bytes + #value
        end
    end
    if count > 0 then sv.self.given[node] = session:jid().full end
end

-- What is on its way to a session no other one gets meanwhile.
local function is_on_its_way(ev, node)
    local to = sv.self.given[node]
    return to and ev:session_find(to) ~= nil
end

-- Hands over what there is, if it may be heard and there is a session for it.
local function release(ev, node)
    local bare = node .. "@" .. sv.host()
    local quiet, rows = is_quiet(node), held:rows(node)
    if not rows then return end
    if rows:count() == 0 then return not_pending(node) end
    if quiet then return is_pending(node) end
    local session = receiver(ev, bare)
    if not session then return not_pending(node) end -- the next one asks
    if not is_on_its_way(ev, node) then push_portion(ev, node, session, rows) end
    is_pending(node) -- until a look finds nothing
end

sv.on("session/presence", function(ev)
    local session = ev:session()
    if not session or not session:presence() or session:priority() < 0 or session:item(sv.name) then return end
    session:set_item(sv.name, "asked")
    release(ev, ev:from().node)
end)

sv.on("session/written", function(ev)
    local me, from = sv.self, ev:from()
    if me.given[from.node] ~= from.full then return end
    me.given[from.node] = nil
    release(ev, from.node)
end)

sv.on("session/gone", function(ev)
    local me, from = sv.self, ev:from()
    if me.given[from.node] == from.full then me.given[from.node] = nil end
end)

-- Each turn as many accounts as this, in no order: those whose hours are over by what is in memory.
local AT_ONCE = 64

local function due()
    local me, list, now = sv.self, {}, sv.now_s()
    for node in pairs(me.pending) do
        local times = recalled(node)
        if not (times and is_within(times, now)) and not me.given[node] then list[#list + 1] = node end
        if #list >= AT_ONCE then break end
    end
    return list
end

sv.every(5000, function(ev)
    for _, node in ipairs(due()) do release(ev, node) end
end)

sv.on("account/removed", function(ev)
    local node = ev:from().node
    forget(node)
    not_pending(node)
    sv.self.given[node] = nil
end)

-- ---- commands -----------------------------------------------------------------------------------------------------

local ACCOUNT = {"account", kind = "account", required = true, exists = true, manual = "whose"}
local CONTACT = {"contact", kind = "address", required = true, manual = "who"}

-- One for each account, so that they need no index.
local MAX_EXCEPTIONS = 100

sv.command {"quiet set", summary = "set an account's quiet hours", changes = true, stores = true, who = "owner",
    manual = "Local time, by a fixed zone. What is held back when the hours change is handed over when the new ones are over.",
    examples = "quiet set juliet@example.org 22:00-07:00 --zone +01:00\n" ..
               "quiet set juliet@example.org off\nquiet set juliet@example.org default",
    args = {ACCOUNT,
            {"hours", kind = "string", required = true, manual = "such as 22:00-07:00, \"off\" for none, \"default\" for the host's"},
            {"zone", kind = "string", option = true, manual = "ahead of UTC, such as +01:00; else the host's"}},
    run = function(ev)
        local node, hours, zone = ev:arg_jid("account").node, ev:arg_text("hours"), ev:arg_text("zone")
        local done
        if hours == "default" then
            done = hours_of:del(node)
        else
            local times, why = parse(hours, zone or sv.self.zone)
            if times == nil then return ev:fail("usage", why) end
            done = hours_of:put(node, "", times and hours .. " " .. (zone or sv.self.zone) or "off")
        end
        if not done then return ev:fail("failed", "the store did not take it: try again") end
        forget(node)
        return ev:answer()
    end}

sv.command {"quiet show", summary = "an account's quiet hours, and what waits", one = true, who = "owner",
    examples = "quiet show juliet@example.org",
    args = {ACCOUNT},
    columns = {{"account"}, {"hours"}, {"zone"}, {"is-quiet", kind = "bool"}, {"waiting", kind = "int"},
               {"favourites", kind = "list"}},
    run = function(ev)
        local account, me = ev:arg_jid("account"), sv.self
        local own, waiting, favourites = hours_of:rows(account.node), 0, {}
        local hours, zone = me.hours, me.zone
        if own then
            for key, value in own:pairs() do
                if key ~= "" then
                    favourites[#favourites + 1] = key
                else
                    hours, zone = value:match("^(%S+) ?(.*)$")
                end
            end
        end
        local rows = held:rows(account.node)
        if not rows then return ev:fail("failed", "the store does not answer: try again") end
        waiting = rows:count()
        return ev:answer {{account = account.bare, hours = hours, zone = hours ~= "off" and zone or nil,
                           ["is-quiet"] = is_quiet(account.node) or false, waiting = waiting, favourites = favourites}}
    end}

sv.command {"quiet allow", summary = "let somebody write in an account's quiet hours", changes = true, stores = true, who = "owner",
    manual = "Besides the members of the roster's group.", examples = "quiet allow juliet@example.org romeo@example.net",
    args = {ACCOUNT, CONTACT},
    run = function(ev)
        local node, bare = ev:arg_jid("account").node, ev:arg_jid("contact").bare
        local rows = hours_of:rows(node)
        if not rows then return ev:fail("failed", "the store does not answer: try again") end
        if rows:count() > MAX_EXCEPTIONS then
            return ev:fail("refused", ("the account has %d already: take one away by `quiet deny`"):format(MAX_EXCEPTIONS))
        end
        if not hours_of:put(node, bare, "1") then return ev:fail("failed", "the store did not take it: try again") end
        return ev:answer()
    end}

sv.command {"quiet deny", summary = "take that back", changes = true, who = "owner",
    examples = "quiet deny juliet@example.org romeo@example.net",
    args = {ACCOUNT, CONTACT},
    run = function(ev)
        local node, bare = ev:arg_jid("account").node, ev:arg_jid("contact").bare
        if not hours_of:get(node, bare) then return ev:fail("not-found", bare .. " is not among them; `quiet show` lists who is") end
        hours_of:del(node, bare)
        return ev:answer()
    end}

-- ---- over reloads -------------------------------------------------------------------------------------------------

sv.start(function()
    local me, saved = sv.self, sv.saved() or {}
    local preset, why = parse(me.hours, me.zone)
    if preset == nil then return false, "policy-quiet: " .. why end
    local zone_fine, why_zone = parse("00:00-01:00", me.zone)
    if not zone_fine then return false, "policy-quiet: " .. why_zone end
    me.preset, me.times, me.times_before, me.times_count, me.changes = preset, {}, {}, 0, 0
    me.given, me.pending, me.pending_count = saved.given or {}, {}, 0
    me.newest, me.count = saved.newest or 0, saved.count or 0
    for _, node in ipairs(saved.pending or {}) do is_pending(node) end
end)

-- As many names as fit; the others' sessions ask when they come anew.
sv.save(function()
    local me, list, bytes = sv.self, {}, 0
    for node in pairs(me.pending) do
        bytes = bytes + #node + 16
        if bytes > 400000 then break end
        list[#list + 1] = node
    end
    return {pending = list, given = me.given, newest = me.newest, count = me.count}
end)
