-- busy-hours.lua: counts messages by the hour of the day; `stave busy-hours show` tells when the server is busy, and a metric how busy it is.
--
-- It shows a module for operators: it only looks on, keeps figures in memory, writes them to its store by a timer, has metrics and commands.
-- To change it: `count` says what is counted; a hook at another point counts something else ("session/bound": logins).

sv.script {
    summary = "Messages by the hour of the day",
    reads = {"message/out"}, -- what accounts of this host send to others; it can't change or refuse any of it
    stores = {"hours"},
}

sv.option {"zone", kind = "int", preset = 0, min = -720, max = 840, manual = "How many minutes the hours are ahead of UTC."}
sv.option {"save_every", kind = "period", preset = "1m", min = "1s", max = "1h",
           manual = "How often the figures are stored: so much of them a crash may cost."}

-- Figures for whoever collects the server's metrics. A counter only grows; a gauge is what it was set to last.
local messages = sv.metric {"messages", kind = "counter", manual = "Messages that accounts have sent."}
local this_hour = sv.metric {"this_hour", kind = "gauge", manual = "Messages that accounts have sent in the hour that is now."}

local HOST = "/host"            -- an owner that is no account: its name has a slash
local hours = sv.store("hours") -- HOST -> the figures as JSON

local function no_figures()
    local list = {}
    for hour = 0, 23 do list[hour + 1] = 0 end
    return {since = sv.now_ms(), hours = list}
end

-- The figures of a row, or nil if they are none: another version of this file may have written it.
local function read(row)
    local kept = row and sv.json.decode(row)
    if type(kept) ~= "table" or math.type(kept.since) ~= "integer" or type(kept.hours) ~= "table" then return nil end
    for hour = 1, 24 do
        if math.type(kept.hours[hour]) ~= "integer" then return nil end
    end
    return {since = kept.since, hours = table.move(kept.hours, 1, 24, 1, {})}
end

-- Behind a reload the state is that of the generation before. Behind a start of the server the figures are in the store; sv.start may
-- not wait, and reading waits: so they are read later (`is_read`), and what was counted meanwhile is added.
sv.start(function()
    sv.self.state = sv.saved() or {figures = no_figures(), is_read = false, is_changed = false, number = 0, in_hour = 0}
    this_hour:set(sv.self.state.in_hour)
end)
sv.save(function() return sv.self.state end)

-- True if the figures are whole; waits the first time.
local function is_read()
    local state = sv.self.state
    if state.is_read then return true end
    local row, why = hours:get(HOST)
    if not row and why ~= "notfound" then return false end
    if state.is_read then return true end -- another event has read them while this one waited
    local kept = read(row)
    if kept then
        for hour = 1, 24 do kept.hours[hour] = kept.hours[hour] + state.figures.hours[hour] end
        state.figures = kept
    end
    state.is_read = true
    return true
end

-- Also called by the timer, so that the gauge falls when an hour begins in which nobody writes.
local function count(more)
    local state, now = sv.self.state, sv.now_ms()
    local number = now // 3600000 -- of the hour, since 1970
    if number ~= state.number then state.number, state.in_hour = number, 0 end
    state.in_hour = state.in_hour + more
    this_hour:set(state.in_hour)
    if more == 0 then return end
    local hour = sv.date.fields(now, sv.self.zone).hour + 1
    state.figures.hours[hour] = state.figures.hours[hour] + more
    state.is_changed = true
    messages:add(more)
end

-- A monitor: it is called when all others have decided, also for messages that they have refused.
sv.on("message/out", function(ev)
    if ev:type() ~= "error" and ev:has("body") then count(1) end
end, {band = "monitor", stores = false})

local function store()
    local state = sv.self.state
    if not is_read() or not state.is_changed then return end
    state.is_changed = not hours:put(HOST, nil, sv.json.encode(state.figures))
end

-- The period is an option, which is known when the host starts: each turn begins the next.
local function turn()
    count(0)
    store()
    sv.after(sv.self.save_every, turn)
end
sv.after(1, turn)

local on_host = {"host", kind = "host", option = true, manual = "on which host, if several count"}

local function is_busier(a, b) return a.messages > b.messages or a.messages == b.messages and a.hour < b.hour end

sv.command {"busy-hours show", summary = "how many messages were sent in each hour of the day", examples = "busy-hours show --busiest 3",
    manual = "In the zone of busy_hours_zone. `busy-hours reset` begins anew.",
    args = {{"busiest", kind = "int", option = true, preset = 24, min = 1, max = 24, manual = "only so many hours, the busiest first"}, on_host},
    columns = {{"hour"}, {"messages", kind = "int"}, {"percent", kind = "int"}},
    run = function(ev)
        if not is_read() then return ev:fail("failed", "the store does not answer: try again") end
        local rows, sum = {}, 0
        for _, messages_then in ipairs(sv.self.state.figures.hours) do sum = sum + messages_then end
        for hour, messages_then in ipairs(sv.self.state.figures.hours) do
            rows[hour] = {hour = ("%02d:00"):format(hour - 1), messages = messages_then, percent = sum > 0 and messages_then * 100 // sum or 0}
        end
        if ev:arg_int("busiest") < 24 then table.sort(rows, is_busier) end
        return ev:answer(table.move(rows, 1, ev:arg_int("busiest"), 1, {}))
    end}

sv.command {"busy-hours since", summary = "since when they are counted", args = {on_host}, one = true, columns = {{"since", kind = "time"}},
    run = function(ev)
        if not is_read() then return ev:fail("failed", "the store does not answer: try again") end
        return ev:answer {{since = sv.self.state.figures.since}}
    end}

sv.command {"busy-hours reset", summary = "count from now on", args = {on_host}, changes = true, stores = true,
    run = function(ev)
        local figures = no_figures()
        if not hours:put(HOST, nil, sv.json.encode(figures)) then return ev:fail("failed", "the store did not take it: try again") end
        sv.self.state.figures, sv.self.state.is_read = figures, true
        return ev:answer()
    end}
