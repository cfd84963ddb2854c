-- Many timers at once, and many handlers that wake at once: each within its limit, all of them not.
sv.script {summary = "keeps the router", changes = {"iq-set/host"}}

for _ = 1, 20 do sv.every(60000, function() sv.log("info", "beat") end) end

sv.on("iq-set/host {urn:stave:beast}do", function(ev)
    ev:sleep(1000)
    sv.log("info", "woke")
    return ev:reply()
end)
