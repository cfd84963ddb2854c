-- Messages from strangers are refused: only contacts with a subscription in some direction may write.
sv.script {summary = "No messages from strangers", changes = {"message/*"}, stores = {"roster/items"}, after = "roster"}

local roster = sv.store("roster/items") -- account, contact -> record of <stave/roster.h>: "R1", state as two hex digits, ...
local SUBSCRIBED = 1 | 2 | 64           -- from, to, in a shared group

local function check(ev)
    local from, to = ev:from(), ev:to()
    if not from.node or from.bare == to.bare or ev:type() == "error" or ev:type() == "groupchat" then return end
    local record = roster:get(to.node, from.bare)
    local state = record and tonumber(record:sub(3, 4), 16) or 0
    if state & SUBSCRIBED == 0 then return ev:refuse("service-unavailable") end
end

for _, point in ipairs {"message/account", "message/resource", "message/nobody"} do sv.on(point, check, {band = "early", guard = true}) end
