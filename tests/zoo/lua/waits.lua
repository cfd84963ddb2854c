-- Begins handlers that wait, without end.
local NS = "urn:stave:beast"
sv.script {summary = "waits without end", changes = {"iq-set/host"}}

local function wait(ev)
    sv.after(1, wait)
    ev:sleep(30000)
end

sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    for _ = 1, 500 do sv.after(1, wait) end
    return ev:reply {"done", xmlns = NS}
end)
