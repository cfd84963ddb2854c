-- greeting-bot.lua: somebody to talk to, at an address of its own (bot@HOST): it greets, answers a few words, and remembers names.
--
-- It shows a bot inside the server: it needs no account, no login and no connection. What is sent to an address that no account has
-- comes by "message/nobody" and "presence/nobody", and the bot takes it from there.
-- To change it: WORDS has what it answers. The two rules against loops (`is_from_person`, `may_answer`) are to stay: a bot that answers
-- whatever comes will one day talk to another one for ever.

sv.script {
    summary = "A bot that greets and answers",
    changes = {"message/nobody", "presence/nobody", "iq-get/out", "disco/host-items"},
    reads = {"host/ready", "account/added", "account/removed"},
    stores = {"names"},
    sends = {"*"}, -- to whoever has written
}

sv.option {"name", kind = "string", preset = "bot", manual = "The bot's address before the @: small letters, digits, dots, hyphens."}
sv.option {"per_minute", kind = "int", preset = 20, min = 1, max = 1000, manual = "How many answers somebody gets in a minute."}

local NS_BOT = "urn:example:bot" -- marks what a bot has written
local NS_INFO, NS_ITEMS = "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"

local names = sv.store("names") -- account -> what it wants to be called
local answered = sv.metric {"answered", kind = "counter", manual = "Messages that the bot has answered."}

sv.start(function()
    local me = sv.self
    if not me.name:find("^[a-z0-9][a-z0-9.-]*$") or #me.name > 100 then
        return false, ("greeting_bot_name: \"%s\" is no name such as \"bot\" or \"help-desk\""):format(me.name)
    end
    me.address = me.name .. "@" .. sv.host()
end)

-- ---- a name of its own ------------------------------------------------------------------------------------------------

-- Should an account have the bot's name, what is sent there is the account's, and the bot is silent until it is gone.
local function set_taken(is_taken)
    sv.self.is_taken = is_taken
    if is_taken then sv.log("warn", "bot-name-taken", {address = sv.self.address}) end
end

sv.on("account/added", function(ev)
    if ev:from().node == sv.self.name then set_taken(true) end
end)

sv.on("account/removed", function(ev)
    if ev:from().node == sv.self.name then set_taken(false) end
end)

-- The first account behind the last text that stands before the bot's name: is it that one?
sv.on("host/ready", function()
    local name = sv.self.name
    local before = name:sub(1, -2) .. string.char(name:byte(-1) - 1) .. "\u{10FFFF}"
    local found = sv.accounts(before, 1)
    if found and found[1] == name then set_taken(true) end
end)

-- True if the stanza is the bot's.
local function is_mine(ev)
    return ev:to().bare == sv.self.address and not sv.self.is_taken
end

-- ---- what it says -----------------------------------------------------------------------------------------------------

-- By the word that the message consists of.
local WORDS = {
    help = function() return "I know these: help, ping, time, call me NAME, forget me." end,
    ping = function() return "pong" end,
    time = function(ev) return "It is " .. ev:stamp(sv.now_s() * 1000) .. "." end,
}

-- What is stored belongs to an account of this host: then it goes with the account.
local function owner(ev)
    local from = ev:from()
    return from.domain == sv.host() and not ev:is_guest(from) and from.node or nil
end

local function call(ev, name)
    local account = owner(ev)
    if not account then return "I remember accounts of " .. sv.host() .. " only." end
    if #name > 100 or name:find("%c") then return "That is too long a name for me." end
    if not names:put(account, nil, name) then return "I can't note that now: try again later." end
    return "I will call you " .. name .. "."
end

local function forget(ev)
    local account = owner(ev)
    if account and not names:del(account) then return "I can't note that now: try again later." end
    return "I have forgotten your name."
end

local function greet(ev)
    local account = owner(ev)
    local name = account and names:get(account) or ev:from().node -- waits: other events go on meanwhile
    return "Hello " .. name .. "! Say help to see what I know."
end

local function answer_to(ev, text)
    local word = WORDS[text:lower():match("^%s*(%a+)[%s.?!]*$") or ""]
    local name = text:match("^%s*[Cc]all me%s+(%S.-)%s*$")
    if word then return word(ev) end
    if name then return call(ev, name) end
    if text:lower():find("^%s*forget me[%s.!]*$") then return forget(ev) end
    return greet(ev)
end

-- ---- to whom ----------------------------------------------------------------------------------------------------------

-- No errors and headlines, nothing without a text, no hosts, no bots, and nothing that was kept somewhere and comes late.
local function is_from_person(ev)
    local type = ev:type()
    return type ~= "error" and type ~= "headline" and ev:has("body") and ev:from().node and
           not ev:has("bot", NS_BOT) and not ev:has("delay", "urn:xmpp:delay")
end

-- So many answers in a minute to somebody, and to a thousand people at most: what was counted goes when the minute is over.
local PEOPLE_MAX = 1000

local function may_answer(bare)
    local me, minute = sv.self, sv.now_s() // 60
    if me.minute ~= minute then me.minute, me.answers, me.people = minute, {}, 0 end
    local so_far = me.answers[bare]
    if not so_far then
        if me.people >= PEOPLE_MAX then return false end
        me.people = me.people + 1
    end
    me.answers[bare] = (so_far or 0) + 1
    return me.answers[bare] <= me.per_minute
end

-- Early: `offline` would else take what is sent to an account that does not exist, and say nothing.
sv.on("message/nobody", function(ev)
    if not is_mine(ev) or ev:type() == "groupchat" then return end -- the server refuses what is for a room
    if not is_from_person(ev) then return ev:consume() end
    if not may_answer(ev:from().bare) then return ev:refuse("resource-constraint", "Too many messages: wait a minute.") end
    local text = answer_to(ev, ev:text_of("body"))
    ev:route {"message", from = sv.self.address, to = ev:from(), type = ev:type() ~= "" and ev:type(), {"body", text}, {"bot", xmlns = NS_BOT}}
    answered:add(1)
    return ev:consume()
end, {band = "early"})

-- ---- presence and discovery -------------------------------------------------------------------------------------------

local function show(ev, to, type)
    ev:route {"presence", from = sv.self.address, to = to, type = type, not type and {"status", "Say help"}}
end

-- Whoever subscribes may; it is there whenever the server is.
sv.on("presence/nobody", function(ev)
    if not is_mine(ev) then return end
    local from, type = ev:from(), ev:type()
    if type == "subscribe" then
        ev:route {"presence", from = sv.self.address, to = from.bare, type = "subscribed"}
        show(ev, from.bare)
    elseif type == "unsubscribe" then
        show(ev, from.bare, "unavailable")
    elseif type == "probe" then
        show(ev, from)
    end
    return ev:consume()
end, {band = "early", stores = false})

-- What an address is that no account has is asked of nobody: so the question is met where it leaves the sender.
sv.on("iq-get/out {http://jabber.org/protocol/disco#info}query", function(ev)
    if not is_mine(ev) then return end
    return ev:reply {"query", xmlns = NS_INFO, {"identity", category = "client", type = "bot", name = "Greeting bot"},
                     {"feature", var = NS_INFO}, {"feature", var = NS_ITEMS}}
end, {stores = false})

sv.on("iq-get/out {http://jabber.org/protocol/disco#items}query", function(ev)
    if is_mine(ev) then return ev:reply {"query", xmlns = NS_ITEMS} end
end, {stores = false})

sv.on("disco/host-items", function(ev)
    if ev:subject() ~= "" or sv.self.is_taken then return end -- somebody asks for a node
    ev:offer(ev:stanza_bytes {"item", xmlns = NS_ITEMS, jid = sv.self.address, name = "Greeting bot"})
end, {stores = false})
