-- Counts messages in which a word of spam stands, by sender; `stave spam top` shows who sent most.
sv.script {summary = "Who sends what looks like spam", reads = {"message/account", "message/resource"}}
sv.option {"words", kind = "list", manual = "Words of spam, whatever their case."}
sv.option {"senders", kind = "int", preset = 1000, min = 1, max = 10000, manual = "How many senders are remembered."}

local found = sv.metric {"found", kind = "counter", manual = "Messages with one of the words."}

sv.start(function() sv.self.counts = sv.saved() or {} end)
sv.save(function() return sv.self.counts end)

local function ranking()
    local list = {}
    for sender, messages in pairs(sv.self.counts) do list[#list + 1] = {sender = sender, messages = messages} end
    table.sort(list, function(a, b) return a.messages > b.messages or a.messages == b.messages and a.sender < b.sender end)
    return list
end

-- Room for one more: of many senders the one with the fewest is forgotten.
local function make_room(counts)
    local least, size = nil, 0
    for sender, messages in pairs(counts) do
        size = size + 1
        if not least or messages < counts[least] then least = sender end
    end
    if size >= sv.self.senders then counts[least] = nil end
end

local function count(ev)
    local text, counts, sender = (ev:root():text_of("body") or ""):lower(), sv.self.counts, ev:from().bare
    for _, word in ipairs(sv.self.words) do
        if text:find(word:lower(), 1, true) then
            if not counts[sender] then make_room(counts) end
            counts[sender] = (counts[sender] or 0) + 1
            return found:add(1)
        end
    end
end
sv.on("message/account", count, {band = "monitor"})
sv.on("message/resource", count, {band = "monitor"})

sv.command {"spam top", summary = "who sent most messages with words of spam", columns = {{"sender"}, {"messages", kind = "int"}},
    args = {{"count", kind = "int", option = true, preset = 10, min = 1, max = 100, manual = "how many senders"},
            {"host", kind = "host", option = true, manual = "on which host, if several count"}},
    run = function(ev) return ev:answer(table.move(ranking(), 1, ev:arg_int("count"), 1, {})) end}
