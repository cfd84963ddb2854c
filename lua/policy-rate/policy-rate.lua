-- Rate rules: how many messages, subscription requests and IQs one account, or one remote domain, may send. What comes
-- faster is refused with resource-constraint, whose type is "wait"; nothing that was taken before is touched.
--
-- To change: LIMITED says which stanzas count as what; `is_exempt` says who is never counted; figures are options. A kind of
-- your own is a line in KINDS (it gets its options) and one in LIMITED.

sv.script {
    summary = "How much an account or a remote domain may send in a time",
    changes = {"message/*", "presence/*", "iq-get/*", "iq-set/*", "account/added"},
    stores = {"made"},
    policy = true,
}

-- {kind, what it is called, an account's per minute, at once, a remote domain's per minute, at once}
local KINDS = {
    {"messages", "messages", 120, 60, 1200, 600},
    {"requests", "subscription requests", 5, 20, 30, 60},
    {"iqs", "IQs", 600, 300, 3000, 1500},
}

local called = {}

for _, line in ipairs(KINDS) do
    local kind, name = line[1], line[2]
    called[kind] = name
    for _, whose in ipairs {{"", "an account", 3}, {"remote_", "all of a remote domain together", 5}} do
        local prefix, who, at = table.unpack(whose)
        sv.option {prefix .. kind .. "_per_minute", kind = "int", preset = line[at], min = 1, max = 1000000,
                   manual = "How many " .. name .. " " .. who .. " may send in a minute, on and on."}
        sv.option {prefix .. kind .. "_burst", kind = "int", preset = line[at + 1], min = 1, max = 1000000,
                   manual = "How many " .. name .. " " .. who .. " may send at once after a quiet time."}
    end
end
sv.option {"new_for", kind = "period", preset = "1d", min = "0s", max = "365d",
           manual = "How long an account counts as new."}
sv.option {"new_percent", kind = "int", preset = 25, min = 1, max = 100,
           manual = "How much of an account's figures is a new account's, or a guest's."}

local made = sv.store "made"
local refused = sv.metric {"refused", kind = "counter", manual = "Stanzas that were refused because they came too fast."}

-- ---- what is remembered -------------------------------------------------------------------------------------------

-- Two halves: when the newer is full it becomes the older, and what was not used meanwhile goes. A sender that is forgotten
-- so begins anew with a full burst.
local HALF = 2000

local function remembering() return {new = {}, old = {}, count = 0} end

local function remember(cache, key, value)
    if cache.new[key] == nil then
        if cache.count >= HALF then cache.old, cache.new, cache.count = cache.new, {}, 0 end
        cache.count = cache.count + 1
    end
    cache.new[key] = value
end

local function recall(cache, key)
    local value = cache.new[key]
    if value == nil then
        value = cache.old[key]
        if value ~= nil then remember(cache, key, value) end
    end
    return value
end

-- Long names take a digest's room.
local function short(key) return #key <= 64 and key or sv.hash.digest("sha256", key) end

-- ---- the counting -------------------------------------------------------------------------------------------------

-- One number for each sender and kind: when it will have been quiet long enough to have its whole burst again. A stanza puts
-- that off by the time that one stanza is worth; what would put it off too far is refused.
local function may_pass(key, per_minute, burst)
    local now, each = sv.now_ms(), 60000 / per_minute
    local whole_at = math.max(recall(sv.self.busy, key) or now, now)
    if whole_at > now + burst * each + 0.5 then whole_at = now end -- the clock was set back, or the figures were changed
    if whole_at + each > now + burst * each + 0.5 then return false end
    remember(sv.self.busy, key, whole_at + each)
    return true
end

-- A line for a sender that is too fast, not one for each stanza.
local function tell(key, who, kind)
    local now, told = sv.now_ms(), recall(sv.self.told, key)
    if told and now - told < 600000 then return end
    remember(sv.self.told, key, now)
    sv.log("info", "rate-refused", {sender = who, kind = kind})
end

local function refuse(ev, key, who, kind)
    refused:add(1)
    tell(key, who, kind)
    return ev:refuse("resource-constraint", "Too many " .. called[kind] .. " in a short time: wait before you send more.")
end

-- ---- new accounts -------------------------------------------------------------------------------------------------

-- Until when the account counts as new, in ms; waits when it is not remembered.
local function new_until(node)
    local me, key = sv.self, short(node)
    local till = recall(me.young, key)
    if till == nil then
        local at = tonumber(made:get(node) or "0")
        till = at > 0 and at + me.new_for or 0
        remember(me.young, key, till)
    end
    return till
end

sv.on("account/added", function(ev)
    local node, now = ev:from().node, sv.now_ms()
    made:put(node, "", tostring(now))
    remember(sv.self.young, short(node), now + sv.self.new_for)
end)

-- ---- who sends what -----------------------------------------------------------------------------------------------

local function is_exempt(ev, from) return ev:is_admin(from) end

local function from_account(kind)
    return function(ev)
        local me, from = sv.self, ev:from()
        if is_exempt(ev, from) then return end
        local share = 1
        if ev:is_guest(from) or new_until(from.node) > sv.now_ms() then share = me.new_percent / 100 end
        local key = short(kind .. " " .. from.node)
        local burst = math.max(1, math.floor(me[kind .. "_burst"] * share))
        if may_pass(key, me[kind .. "_per_minute"] * share, burst) then return end
        return refuse(ev, key, from.bare, kind)
    end
end

local function from_remote(kind)
    return function(ev)
        local me, from = sv.self, ev:from()
        if not from or ev:is_local(from) then return end
        local key = short("remote " .. kind .. " " .. from.domain)
        if may_pass(key, me["remote_" .. kind .. "_per_minute"], me["remote_" .. kind .. "_burst"]) then return end
        return refuse(ev, key, from.domain, kind)
    end
end

-- Only these presences count: availability is what others asked for.
local function only_requests(handler)
    return function(ev)
        if ev:type() == "subscribe" then return handler(ev) end
    end
end

-- Errors answer something, so they are not counted; nor are IQ results, which have points of their own.
local function no_errors(handler)
    return function(ev)
        if ev:type() ~= "error" then return handler(ev) end
    end
end

local LIMITED = {
    {"message", "messages", no_errors, {"account", "resource", "host", "nobody"}},
    {"presence", "requests", only_requests, {"account", "resource", "nobody"}},
    {"iq-get", "iqs", no_errors, {"account", "resource", "host"}},
    {"iq-set", "iqs", no_errors, {"account", "resource", "host"}},
}

-- Open: while this module is in quarantine nobody is counted. A flood is slowed by the server's own credit all the same, and a
-- server that refuses everything would be the greater harm. Nothing is stored here, so nothing waits for space.
local FREELY = {band = "early", open = true, stores = false}

for _, line in ipairs(LIMITED) do
    local stanza, kind, only, scopes = table.unpack(line)
    sv.on(stanza .. "/out", only(from_account(kind)), FREELY)
    for _, scope in ipairs(scopes) do
        sv.on(stanza .. "/" .. scope, only(from_remote(kind)), FREELY)
    end
end

-- ---- over reloads -------------------------------------------------------------------------------------------------

sv.start(function()
    local me, saved = sv.self, sv.saved() or {}
    me.busy, me.told, me.young = remembering(), remembering(), remembering()
    for key, whole_at in pairs(saved.busy or {}) do remember(me.busy, key, whole_at) end
end)

-- Who has been quiet long enough needs no line.
sv.save(function()
    local busy, now = {}, sv.now_ms()
    for _, half in ipairs {sv.self.busy.old, sv.self.busy.new} do
        for key, whole_at in pairs(half) do
            if whole_at > now then busy[key] = whole_at end
        end
    end
    return {busy = busy}
end)
