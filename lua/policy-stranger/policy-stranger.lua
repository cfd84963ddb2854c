-- Messages from strangers: who is not in an account's roster, and was never written to by it, is refused with a text, or held
-- back until the account writes to him, or may send no links.
--
-- To change: `is_known` says who is no stranger, ASKS what counts as a message (chat states, receipts and the like are let
-- through), and ACTIONS what becomes of one: add a function there, and its name to the words of the option.

sv.script {
    summary = "Refuses, holds back or strips of links what strangers write",
    changes = {"message/account", "message/resource", "message/nobody"},
    reads = {"message/out", "presence/out", "account/removed"},
    stores = {"known", "held", "roster/items"},
    after = "?roster",
    sends = {"host"},
    policy = true,
}

sv.option {"action", kind = "enum", words = "refuse hold no-links", preset = "refuse",
           manual = "What becomes of a stranger's message: an error, kept until the account writes to him, or taken if it has no link."}
sv.option {"text", kind = "string", preset = "I take messages of my contacts only: ask for a subscription first.",
           manual = "What a stranger is told who is refused."}
sv.option {"trust_local", kind = "bool", preset = "false",
           manual = "Whether accounts of this server are no strangers to each other."}
sv.option {"max_known", kind = "int", preset = 1000, min = 10, max = 10000,
           manual = "How many addresses that it wrote to are remembered for an account; the one that was added first goes."}
sv.option {"max_held", kind = "int", preset = 100, min = 1, max = 1000,
           manual = "How many messages of strangers are held back for an account; further ones are dropped."}
sv.option {"max_each", kind = "int", preset = 5, min = 1, max = 20,
           manual = "How many of them may be one stranger's."}
sv.option {"max_bytes", kind = "size", preset = "8k", min = "1k", max = "32k",
           manual = "How long one of them may be; a longer one is refused."}
sv.option {"held_for", kind = "period", preset = "30d", min = "1h", max = "3650d",
           manual = "How long they are held back; what is older goes when the next one comes, or is handed over."}
sv.option {"notice", kind = "bool", preset = "true",
           manual = "Whether the account is told of a stranger whose first message is held back."}

local known = sv.store "known"            -- localpart, address -> when it was written to, in seconds
local held = sv.store "held"              -- localpart, address and time -> the message
local items = sv.store "roster/items"     -- <stave/roster.h>

local strangers = sv.metric {"messages", kind = "counter", manual = "Messages of strangers that were refused, held back or dropped."}

-- Children that make a stanza a message for people: "namespace name".
local ASKS = {
    ["jabber:client body"] = true,
    ["jabber:client subject"] = true,
    ["http://jabber.org/protocol/xhtml-im html"] = true,
    ["jabber:x:oob x"] = true,
    ["jabber:x:encrypted x"] = true,                            -- XEP-0027
    ["urn:xmpp:openpgp:0 openpgp"] = true,                      -- XEP-0373
    ["eu.siacs.conversations.axolotl encrypted"] = true,        -- XEP-0384
    ["urn:xmpp:omemo:2 encrypted"] = true,
    ["urn:xmpp:sfs:0 file-sharing"] = true,                     -- XEP-0447
    ["urn:xmpp:sfs:0 sources"] = true,
    ["urn:xmpp:reference:0 reference"] = true,                  -- XEP-0372, XEP-0385
    ["urn:xmpp:jingle-message:0 propose"] = true,               -- XEP-0353: a call that rings
    ["urn:xmpp:call-invites:0 invite"] = true,                   -- XEP-0482
}
local NS_MUC = "http://jabber.org/protocol/muc"

local function is_call(root)
    return root:has("propose", "urn:xmpp:jingle-message:0") or root:has("invite", "urn:xmpp:call-invites:0")
end

local function asks(root)
    for child in root:children() do
        if ASKS[child:ns() .. " " .. child:name()] then return true end
    end
    return false
end

-- ---- what is remembered -------------------------------------------------------------------------------------------

-- Pairs that need no look at the store, since they were looked at in this run: two halves, of which the older one goes.
local HALF = 1000

local function pair(node, bare) return node .. "\n" .. bare end

local function is_noted(key)
    local me = sv.self
    return me.noted[key] or me.noted_before[key]
end

local function note(key)
    local me = sv.self
    if is_noted(key) or #key > 512 then return end
    if me.noted_count >= HALF then me.noted_before, me.noted, me.noted_count = me.noted, {}, 0 end
    me.noted[key], me.noted_count = true, me.noted_count + 1
end

local function forget_all()
    local me = sv.self
    me.noted, me.noted_before, me.noted_count = {}, {}, 0
end

sv.start(function()
    local me, saved = sv.self, sv.saved() or {}
    me.newest, me.count = saved.newest or 0, saved.count or 0
    forget_all()
end)
sv.save(function() return {newest = sv.self.newest, count = sv.self.count} end)
sv.on("account/removed", forget_all) -- the rows go with the account

-- ---- who is known -------------------------------------------------------------------------------------------------

-- Bits of a record: FROM, TO, PENDING_OUT, LISTED, SHARED; not that somebody asked the account for a subscription.
local OF_A_CONTACT = 1 + 2 + 4 + 32 + 64

local function is_contact(node, bare)
    local record = items:get(node, bare)
    local bits = record and tonumber(record:sub(3, 4), 16)
    return bits ~= nil and bits & OF_A_CONTACT ~= 0
end

-- Waits unless all is in memory. Guests have neither roster nor store: anybody may write to them.
local function is_known(ev, from, to)
    if not from or from.bare == to.bare or ev:is_guest(to) then return true end
    if not from.node and from.domain == sv.host() then return true end
    if ev:is_admin(from) then return true end
    if sv.self.trust_local and ev:is_local(from) then return true end
    return is_contact(to.node, from.bare) or known:get(to.node, from.bare) ~= nil
end

-- ---- what becomes of a stranger's message -------------------------------------------------------------------------

local function refuse(ev)
    return ev:refuse("subscription-required", sv.self.text)
end

-- The keys of a stranger's messages begin with his address; behind it stands when it came, in ms.
local function prefix_of(bare) return bare .. " " end

local function is_of(key, prefix) return key:sub(1, #prefix) == prefix and not key:find(" ", #prefix + 1, true) end

local function time_of(key) return tonumber(key:match(" (%x+)%-%x+$"):sub(1, 13), 16) end

-- They keep the order of arrival, also when the clock is set back; chance tells those of two runs apart.
local function next_key(ev, prefix, now)
    local me = sv.self
    me.newest, me.count = math.max(me.newest, now), me.count + 1
    return ("%s%013x%08x-%s"):format(prefix, me.newest, me.count & 0xFFFFFFFF, ev:random_hex(4))
end

-- How many there are of him, and of all; what is too old goes. Nil if they can't be read.
local function count_held(node, prefix)
    local his, all, oldest = 0, 0, sv.now_ms() - sv.self.held_for
    local rows = held:rows(node)
    if not rows then return nil end
    for key in rows:pairs() do
        if time_of(key) < oldest then
            held:del(node, key)
        else
            all = all + 1
            if is_of(key, prefix) then his = his + 1 end
        end
    end
    return his, all
end

local function tell_of(ev, from, to)
    if not sv.self.notice then return end
    ev:route {"message", to = to.bare, type = "normal",
              {"body", from.bare .. " wrote to you and is not in your contact list. The message is kept: write to " .. from.bare ..
                       " to read it, or do nothing."}}
end

-- An account that does not exist answers as one that holds the message back: with nothing.
local function hold(ev)
    local from, to = ev:from(), ev:to()
    if is_call(ev:root()) then return refuse(ev) end -- it would ring when it is long over
    local now = sv.now_ms()
    local bytes = ev:stanza_bytes(ev:with_child(ev:stanza(), {"delay", xmlns = "urn:xmpp:delay", from = sv.host(), stamp = ev:stamp(now)}))
    if #bytes > sv.self.max_bytes then return refuse(ev) end -- all of his are handed over at once
    if not ev:account_exists() then return ev:drop("stranger-nobody") end
    local prefix = prefix_of(from.bare)
    local his, all = count_held(to.node, prefix)
    if not his then return refuse(ev) end
    if his >= sv.self.max_each or all >= sv.self.max_held then return ev:drop("stranger-full") end
    if not held:put(to.node, next_key(ev, prefix, now), bytes) then return refuse(ev) end
    if his == 0 then tell_of(ev, from, to) end
    return ev:stored()
end

-- Text, or an address behind a link, that leads somewhere.
local function leads(text)
    text = text:lower()
    return text:find("://", 1, true) ~= nil or text:find("%f[%w]www%.") ~= nil or text:find("%f[%w]xmpp:") ~= nil
end

local function has_link(literal)
    if literal.href or literal.src or literal.target or literal.uri then return true end
    for i = 2, #literal do
        local item = literal[i]
        if type(item) == "table" and has_link(item) or type(item) == "string" and leads(item) then return true end
    end
    return false
end

-- What is encrypted is taken: nobody here can tell what is in it.
local function no_links(ev)
    if ev:root():has("x", "jabber:x:oob") or has_link(ev:root():table()) then
        return ev:refuse("policy-violation", "Links of strangers are not taken: write without, or ask for a subscription first.")
    end
end

local ACTIONS = {refuse = refuse, hold = hold, ["no-links"] = no_links}

local function on_message(ev)
    if ev:type() == "error" or not asks(ev:root()) then return end
    if is_known(ev, ev:from(), ev:to()) then return end
    local verdict = ACTIONS[sv.self.action](ev)
    if verdict then strangers:add(1) end
    return verdict
end

-- Guards: while this module is in quarantine messages are refused, those of contacts too, and no stranger comes in. An account
-- that does not exist is asked for as well, so that nobody learns from the answer which accounts there are.
for _, scope in ipairs {"account", "resource", "nobody"} do
    sv.on("message/" .. scope, on_message, {band = "early", after = "blocking", guard = true})
end

-- ---- whoever I write to may write to me -----------------------------------------------------------------------------

local function oldest_of(rows)
    local oldest, when
    for key, value in rows:pairs() do
        local at = tonumber(value) or 0
        if not when or at < when then oldest, when = key, at end
    end
    return oldest
end

-- False if the store has no answer.
local function add_known(node, bare)
    local rows = known:rows(node)
    if not rows then return false end
    if rows:count() >= sv.self.max_known then known:del(node, oldest_of(rows)) end
    return known:put(node, bare, tostring(sv.now_s())) ~= nil
end

-- Hands over what was held back, to the session that wrote; a row goes when it was written to it.
local function hand_over(ev, node, bare)
    local session, prefix, oldest = ev:session(), prefix_of(bare), sv.now_ms() - sv.self.held_for
    for key, bytes in held:rows(node):pairs() do
        local stanza = is_of(key, prefix) and ev:stanza_parse(bytes)
        if stanza and time_of(key) < oldest then
            held:del(node, key)
        elseif stanza then
            ev:push_stored(session, stanza, held, node, key)
        end
    end
end

local function open_for(ev)
    local node, bare = ev:from().node, ev:to().bare
    local key = pair(node, bare)
    if is_noted(key) or ev:is_guest(ev:from()) then return end
    if known:get(node, bare) == nil and not add_known(node, bare) then return end
    local is_there = held:rows(node) ~= nil -- in memory from here on
    if not is_there or not ev:session() then return end
    hand_over(ev, node, bare)
    note(key)
end

sv.on("message/out", function(ev)
    if ev:type() ~= "error" and asks(ev:root()) then open_for(ev) end
end, {open = true})

-- To ask somebody for a subscription, to grant it, or to join a room is to open for it, too.
sv.on("presence/out", function(ev)
    local type = ev:type()
    if type == "subscribe" or type == "subscribed" or type == "" and ev:root():has("x", NS_MUC) then open_for(ev) end
end, {open = true})
