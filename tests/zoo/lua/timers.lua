-- A thousand timers, and one more.
local NS = "urn:stave:beast"
sv.script {summary = "a thousand timers", changes = {"iq-set/host"}}

sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    sv.self.fired = sv.self.fired or 0
    local ms = math.tointeger(ev:payload():attr("ms"))
    if not ms then return ev:reply {"done", xmlns = NS, value = sv.self.fired} end
    local begun, why = 0
    repeat
        local is_fine
        is_fine, why = pcall(sv.after, ms, function() sv.self.fired = sv.self.fired + 1 end)
        begun = begun + (is_fine and 1 or 0)
    until not is_fine
    return ev:reply {"done", xmlns = NS, value = begun, why}
end)
