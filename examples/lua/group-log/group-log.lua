-- group-log.lua: an address for each shared group (module `groups`): what a member writes there all others get, and it is logged.
--
-- It shows a log with bounds: rows in order, of which the oldest go by count and by age; a command that answers by pages; and words that
-- members write to the address itself. A message to an address that no account has comes by "message/nobody" (greeting-bot shows more).
-- To change it: TOLD has what members may ask for, `append` what is logged. Whoever is logged may say no: that is to stay.

sv.script {
    summary = "Messages to a group, passed on and logged",
    changes = {"message/nobody", "account/removing"},
    after = "groups",
    stores = {"lines", "silent"},
    sends = {"*"}, -- to the members
}

sv.option {"groups", kind = "list", manual = "Names of shared groups that get an address: \"House Montague\" is house-montague@HOST."}
sv.option {"keep", kind = "int", preset = 500, min = 1, max = 1000, manual = "How many messages of a group are kept."}
sv.option {"keep_for", kind = "period", preset = "30d", min = "1m", max = "3650d", manual = "How long a message is kept."}
sv.option {"per_minute", kind = "int", preset = 30, min = 1, max = 1000, manual = "How many messages a member may write to groups in a minute."}

local MEMBERS_MAX, TEXT_MAX, TOLD_MAX, SENDERS_MAX = 100, 4000, 20, 1000
local NS_DELAY = "urn:xmpp:delay"

-- The owner of lines is no account, so there is a slash in its name.
local lines = sv.store("lines")   -- "/" .. node of the group, number -> "WHEN WHO TEXT": milliseconds since 1970, a bare address
local silent = sv.store("silent") -- account, node of the group -> "1": is not logged
local logged = sv.metric {"logged", kind = "counter", manual = "Messages that were logged."}

local function owner_of(node) return "/" .. node end

sv.start(function()
    local me = sv.self
    me.names, me.last = {}, {} -- by the node of the group's address: its name; the number of its newest line
    for _, name in ipairs(me.groups) do
        local node = name:lower():gsub(" ", "-")
        if not node:find("^[a-z0-9][a-z0-9.-]*$") or #node > 100 then
            return false, ("group_log_groups: \"%s\" makes no address: rename the group, with letters a to z, digits and blanks"):format(name)
        elseif me.names[node] then
            return false, ("group_log_groups: \"%s\" and \"%s\" have the same address"):format(me.names[node], name)
        end
        me.names[node] = name
    end
end)

-- ---- members ----------------------------------------------------------------------------------------------------------

-- Addresses of the group's members if `account` is one, else nil. Whoever knows shared contacts offers a line for each group that the
-- account is in: name, address, display name, address, display name ..., between tabs.
local function members(ev, account, group)
    for _, line in ipairs(ev:gather("roster/shared", account)) do
        local name, rest = line:match("^([^\t]+)\t(.*)$")
        if name == group then
            local list = {}
            for address in (rest .. "\t"):gmatch("([^\t]*)\t[^\t]*\t?") do list[#list + 1] = address end
            return list
        end
    end
end

-- ---- the log ----------------------------------------------------------------------------------------------------------

local function key_of(number) return ("%010d"):format(number) end

-- The number of the newest line; waits the first time.
local function last_of(node)
    local me = sv.self
    if me.last[node] then return me.last[node] end
    local rows, number = lines:rows(owner_of(node)), 0
    if not rows then return nil end
    for key in rows:pairs() do number = math.tointeger(tonumber(key)) end
    me.last[node] = me.last[node] or number -- another message may have read and added meanwhile
    return me.last[node]
end

-- Writes a line and takes away the one that is too many.
local function append(node, who, text)
    local number = last_of(node)
    if not number then return false end
    number = number + 1
    sv.self.last[node] = number
    lines:del(owner_of(node), key_of(number - sv.self.keep))
    return lines:put(owner_of(node), key_of(number), ("%d %s %s"):format(sv.now_ms(), who, text))
end

-- When, who and what; nil if it is too old.
local function read(row)
    local at, who, text = row:match("^(%d+) (%S+) (.*)$")
    at = math.tointeger(at)
    if at > sv.now_ms() - sv.self.keep_for then return at, who, text end
end

-- Takes away lines of somebody, so many at most. How many there were; nil if the store does not answer.
local function forget(node, who, max)
    local rows, gone = lines:rows(owner_of(node)), 0
    if not rows then return nil end
    for key, row in rows:pairs() do
        if gone < max and row:match("^%d+ (%S+)") == who and lines:del(owner_of(node), key) then gone = gone + 1 end
    end
    return gone
end

-- An account that is deleted takes its lines along. The occasion comes again until nothing is written any more.
sv.on("account/removing", function(ev)
    local left = 1000
    for node in pairs(sv.self.names) do
        local gone = forget(node, ev:from().bare, left)
        if not gone then return ev:refuse("internal-server-error", "the log of groups does not answer: try again") end
        left = left - gone
    end
end)

-- What is too old, and what is too much since `keep` was lowered, goes: a thousand lines of each group in ten minutes.
sv.every(600000, function()
    for node in pairs(sv.self.names) do
        local rows = lines:rows(owner_of(node))
        local left, gone = rows and rows:count() or 0, 0
        local key, row
        while rows and gone < 1000 do
            key, row = rows:next(key)
            if not key or left <= sv.self.keep and read(row) then break end
            lines:del(owner_of(node), key)
            left, gone = left - 1, gone + 1
        end
        if gone > 0 then sv.log("info", "group-log-expired", {group = node, count = gone}) end
    end
end)

-- ---- what members write -----------------------------------------------------------------------------------------------

-- So many messages in a minute from somebody, so that two clients that answer by themselves do not talk for ever; and from a thousand
-- people at most. What was counted goes when the minute is over.
local function may_write(bare)
    local me, minute = sv.self, sv.now_s() // 60
    if me.minute ~= minute then me.minute, me.written, me.senders = minute, {}, 0 end
    if not me.written[bare] then
        if me.senders >= SENDERS_MAX then return false end
        me.senders = me.senders + 1
    end
    me.written[bare] = (me.written[bare] or 0) + 1
    return me.written[bare] <= me.per_minute
end

local function tell(ev, node, text, delay)
    ev:route {"message", from = node .. "@" .. sv.host(), to = ev:from(), type = "chat", {"body", text}, delay}
end

-- The newest lines, each as a message that says when it was written.
local function tell_log(ev, node, count)
    local rows = lines:rows(owner_of(node))
    if not rows then return tell(ev, node, "The log can't be read now: try again later.") end
    local list = {}
    for _, row in rows:pairs() do list[#list + 1] = row end
    local told = 0
    for at = math.max(#list - count + 1, 1), #list do
        local when, who, text = read(list[at])
        if when then
            tell(ev, node, who .. ": " .. text, {"delay", xmlns = NS_DELAY, stamp = ev:stamp(when)})
            told = told + 1
        end
    end
    if told == 0 then tell(ev, node, "Nothing is logged.") end
end

-- By the word behind "!"; functions get what stands behind it.
local TOLD = {
    help = function(ev, node)
        tell(ev, node, "!log 5: the last five messages. !off: mine are not logged; !on: they are. !forget: takes away what is logged of me.")
    end,
    log = function(ev, node, count)
        tell_log(ev, node, math.min(math.max(math.tointeger(tonumber(count)) or 10, 1), TOLD_MAX))
    end,
    off = function(ev, node)
        local done = silent:put(ev:from().node, node, "1")
        tell(ev, node, done and "What you write here is not logged from now on. What was logged goes by !forget." or "I can't note that now: try again later.")
    end,
    on = function(ev, node)
        local done = silent:del(ev:from().node, node)
        tell(ev, node, done and "What you write here is logged." or "I can't note that now: try again later.")
    end,
    forget = function(ev, node)
        local gone = forget(node, ev:from().bare, 1000)
        if not gone then return tell(ev, node, "The log can't be read now: try again later.") end
        tell(ev, node, "Taken away: " .. gone .. ".")
    end,
}

local function pass_on(ev, node, list, text)
    local from = ev:from()
    local message = ev:with_attrs({"message", type = "chat", {"body", from.node .. ": " .. text}}, {from = node .. "@" .. sv.host()})
    for _, address in ipairs(list) do
        if address ~= from.bare then ev:route(ev:with_attrs(message, {to = address})) end
    end
end

-- Who is no member is passed on to the others who are asked here: to him it is an address that does not exist.
sv.on("message/nobody", function(ev)
    local from, node = ev:from(), ev:to().node
    local group = sv.self.names[node]
    if not group or not from.node or from.domain ~= sv.host() then return end
    local list = members(ev, from.bare, group)
    if not list or ev:type() == "groupchat" then return end
    local text = ev:text_of("body")
    if not text or ev:type() == "error" or ev:type() == "headline" then return ev:consume() end
    if not may_write(from.bare) then return ev:refuse("resource-constraint", "Too many messages: wait a minute.") end
    if #text > TEXT_MAX then return ev:refuse("not-acceptable", ("A message to a group has %d bytes at most."):format(TEXT_MAX)) end
    if #list > MEMBERS_MAX then return ev:refuse("not-allowed", ("The group has more than %d members."):format(MEMBERS_MAX)) end

    local word, rest = text:match("^!(%a+)%s*(.-)%s*$")
    if word and TOLD[word] then
        TOLD[word](ev, node, rest)
        return ev:consume()
    end
    local is_silent, why = silent:get(from.node, node)
    if not is_silent and why ~= "notfound" then return ev:refuse("internal-server-error", "The log does not answer: try again.") end
    if not is_silent then
        if not append(node, from.bare, text) then return ev:refuse("internal-server-error", "The message can't be logged: try again.") end
        logged:add(1)
    end
    pass_on(ev, node, list, text)
    return ev:consume()
end, {band = "early"})

-- ---- for operators ----------------------------------------------------------------------------------------------------

local on_host = {"host", kind = "host", option = true, manual = "on which host, if several log groups"}
local a_group = {"group", kind = "string", required = true, manual = "its name, or its address before the @"}

local function node_of(group)
    local node = group:lower():gsub(" ", "-")
    return sv.self.names[node] and node
end

local function no_group(ev)
    return ev:fail("not-found", ("no group \"%s\" is logged here: `stave group-log list` tells which are"):format(ev:arg_text("group")))
end

-- "2026-01-31", or with a time: "2026-01-31T12:00:00Z".
local function time_of(text)
    return sv.date.parse(text:find("^%d+%-%d+%-%d+$") and text .. "T00:00:00Z" or text)
end

sv.command {"group-log list", summary = "the groups that have an address, and what is logged of them", args = {on_host},
    columns = {{"group"}, {"address"}, {"messages", kind = "int"}, {"oldest", kind = "time"}},
    run = function(ev)
        local nodes = {}
        for node in pairs(sv.self.names) do nodes[#nodes + 1] = node end
        table.sort(nodes)
        for at, node in ipairs(nodes) do
            local rows = lines:rows(owner_of(node))
            if not rows then return ev:fail("failed", "the store does not answer: try again") end
            local _, oldest = rows:next()
            nodes[at] = {group = sv.self.names[node], address = node .. "@" .. sv.host(), messages = rows:count(), oldest = oldest and math.tointeger(oldest:match("^%d+"))}
        end
        return ev:answer(nodes)
    end}

sv.command {"group-log show", summary = "what was written to a group, the oldest first",
    examples = "group-log show \"House Montague\"\ngroup-log show house-montague --since 2026-01-31",
    args = {a_group, {"since", kind = "string", option = true, manual = "not before this day or time, in UTC"}, on_host},
    columns = {{"at", kind = "time"}, {"who"}, {"text"}},
    run = function(ev)
        local node, from = node_of(ev:arg_text("group")), time_of(ev:arg_text("since") or "1970-01-01")
        if not node then return no_group(ev) end
        if not from then return ev:fail("usage", "--since is a day, 2026-01-31, or a time, 2026-01-31T12:00:00Z") end
        local rows = lines:rows(owner_of(node))
        if not rows then return ev:fail("failed", "the store does not answer: try again") end
        local shown = ev:asked_from() -- where the page before has ended; empty at first
        local key, row = rows:next(shown ~= "" and shown or nil)
        while key do
            local at, who, text = read(row)
            if at and at >= from then
                if not ev:record() then return ev:answer_more(shown) end -- the page is full: this function is called again
                ev:field("at", at)
                ev:field("who", who)
                ev:field("text", text)
            end
            shown = key
            key, row = rows:next(key)
        end
        return ev:answer()
    end}

sv.command {"group-log clear", summary = "take away what is logged of a group", args = {a_group, on_host}, changes = true,
    run = function(ev)
        local node = node_of(ev:arg_text("group"))
        if not node then return no_group(ev) end
        if not lines:del_owner(owner_of(node)) then return ev:fail("failed", "the store did not take it: try again") end
        return ev:answer()
    end}
