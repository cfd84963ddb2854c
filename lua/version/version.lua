-- Software Version (XEP-0092): what the host runs, as far as its operator tells.
local NS = "jabber:iq:version"

sv.script {summary = "Software Version (XEP-0092)", changes = "iq-get/host", features = NS}
sv.option {"os", kind = "string", preset = "", manual = "The operating system as it is told; empty: it is not told."}

sv.on("iq-get/host {" .. NS .. "}query", function(ev)
    local os = sv.self.os
    return ev:reply {"query", xmlns = NS, {"name", "Stave"}, {"version", sv.release}, os ~= "" and {"os", os}}
end)
