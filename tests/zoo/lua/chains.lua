-- Each stanza begins the next one, in the name of somebody else.
local NS = "urn:stave:beast"
sv.script {summary = "chains", changes = {"iq-set/host", "message/host"}, sends = {"host"}}

local function next_one(ev, n) ev:route {"message", from = "u" .. n .. "@" .. sv.host(), to = sv.host(), {"body", n}} end

sv.on("message/host", function(ev)
    local n = math.tointeger(ev:root():text_of("body"))
    if n then
        next_one(ev, n + 1)
        return ev:consume()
    end
end)
sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    next_one(ev, 1)
    return ev:reply {"done", xmlns = NS}
end)
