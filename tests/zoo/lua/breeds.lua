-- Makes two of each, by stanzas and by occasions.
local NS = "urn:stave:beast"
sv.script {summary = "breeds", changes = {"iq-set/host", "message/host", "disco/changed"}, sends = {"host"}}

local function two(ev) for _ = 1, 2 do ev:route {"message", to = sv.host(), {"body", "once more"}} end end
local function fire(ev) for _ = 1, 2 do ev:fire_after("disco/changed") end end

sv.on("message/host", function(ev)
    two(ev)
    return ev:consume()
end)
sv.on("disco/changed", fire)
sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    if ev:payload():attr("what") == "stanzas" then two(ev) else fire(ev) end
    return ev:reply {"done", xmlns = NS}
end)
