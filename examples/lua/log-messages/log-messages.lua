-- A line in the log for each message that users of the host send ("out") or get ("in"), without what it says.
sv.script {summary = "Messages in the log", reads = {"message/*"}}

local function note(way)
    return function(ev)
        local body = ev:root():text_of("body")
        if body then sv.log("info", "message", {way = way, from = ev:from(), to = ev:to(), type = ev:type(), bytes = #body}) end
    end
end

sv.on("message/out", note("out"), {band = "monitor"})
for _, point in ipairs {"message/self", "message/account", "message/resource"} do sv.on(point, note("in"), {band = "monitor"}) end
