-- slow-mode.lua: after a message to somebody the sender has to wait before the next one to the same address: rooms stay readable.
--
-- It shows a policy with a memory: what it has seen is bounded, and carried over a reload by sv.save and sv.saved.
-- To change it: `is_slow` says which messages count, `key_of` what is counted together.

sv.script {summary = "One message in so many seconds to the same address", changes = {"message/out"}, policy = true}

sv.option {"wait", kind = "period", preset = "10s", min = "1s", max = "1h", manual = "The time between two messages of a sender to an address."}
sv.option {"addresses", kind = "list", form = "jid", manual = "Rooms and other addresses that are slow; without any, all are."}
sv.option {"remembered", kind = "int", preset = 5000, min = 2, max = 10000, manual = "How many senders and addresses are remembered."}

local refused = sv.metric {"refused", kind = "counter", manual = "Messages that came too soon."}

-- When somebody last wrote where. Two halves: when the newer is full it becomes the older, and the oldest is forgotten, so that the
-- table is bounded whatever is sent, and forgetting costs nothing. Who is forgotten may write at once.
local function remember(key, at)
    local me = sv.self
    if not me.new[key] then
        if me.count >= me.remembered // 2 then me.old, me.new, me.count = me.new, {}, 0 end
        me.count = me.count + 1
    end
    me.new[key] = at
end

local function last(key) return sv.self.new[key] or sv.self.old[key] end

sv.start(function()
    local me = sv.self
    me.new, me.old, me.count = {}, {}, 0
    for key, at in pairs(sv.saved() or {}) do remember(key, at) end
end)

-- Who has waited long enough needs no line.
sv.save(function()
    local kept = {}
    for _, half in ipairs {sv.self.old, sv.self.new} do
        for key, at in pairs(half) do
            if sv.now_ms() - at < sv.self.wait then kept[key] = at end
        end
    end
    return kept
end)

-- Is this one of the addresses that are slow? Those of the option are read once, as the server writes addresses: "Rooms@..." is "rooms@...".
local function is_address(ev, bare)
    local me = sv.self
    if not me.only then
        me.only = {}
        for _, address in ipairs(me.addresses) do me.only[ev:jid_parse(address).bare] = true end
    end
    return me.only[bare] or #me.addresses == 0
end

-- Messages with a text, of who is no admin; what clients send beside (typing, receipts) and errors are not slowed.
local function is_slow(ev)
    return ev:type() ~= "error" and ev:has("body") and not ev:is_admin(ev:from()) and is_address(ev, ev:to().bare)
end

-- All devices of the sender, and of the recipient, together; long addresses take a digest's room.
local function key_of(ev)
    local key = ev:from().bare .. " " .. ev:to().bare
    return #key <= 64 and key or sv.hash.digest("sha256", key)
end

-- Open: while the module is in quarantine nobody is slowed. Nothing is stored here, so nothing waits for space on the disk.
sv.on("message/out", function(ev)
    if not is_slow(ev) then return end
    local key, now = key_of(ev), sv.now_ms()
    local at = last(key) or 0
    local left = at + sv.self.wait - now
    if left <= 0 or at > now then return remember(key, now) end -- `at > now`: the clock was set back
    refused:add(1)
    return ev:refuse("resource-constraint", ("Slow mode: wait %d s before you write here again."):format((left + 999) // 1000))
end, {band = "early", open = true, stores = false})
