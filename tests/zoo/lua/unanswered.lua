-- Asks a client that does not answer.
local NS = "urn:stave:beast"
sv.script {summary = "asks who does not answer", changes = {"iq-set/host"}, sends = {"host"}}

sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    local answer, why = ev:iq {"iq", type = "get", to = ev:payload():attr("whom"), {"query", xmlns = NS}}
    return ev:reply {"done", xmlns = NS, value = answer and answer:root():attr("type") or why}
end)
