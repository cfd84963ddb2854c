-- Entity Time (XEP-0202): what time it is, for whoever asks the host. Servers live in UTC.
local NS = "urn:xmpp:time"

sv.script {summary = "Entity Time (XEP-0202)", changes = "iq-get/host", features = NS}

sv.on("iq-get/host {" .. NS .. "}time", function(ev)
    return ev:reply {"time", xmlns = NS, {"tzo", "+00:00"}, {"utc", ev:stamp(sv.now_ms())}}
end)
