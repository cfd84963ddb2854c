-- Errors of all kinds, in handlers, timers and sv.save.
local NS = "urn:stave:beast"
sv.script {summary = "raises", changes = {"iq-set/host", "message/resource"}}

local ways = {
    text = function() error("on purpose") end,
    table = function() error({}) end,
    none = function() error(nil) end,
    number = function() error(1.5) end,
    handler = function() local _ = nil .. "x" end,
    timer = function() sv.after(1, function() error("on purpose in a timer") end) end,
    sleeps = function(ev) ev:sleep(1) error("on purpose after a wait") end,
    verdict = function(ev) ev:reply() error("on purpose behind the answer") end,
    twice = function(ev) ev:reply() return ev:reply() end,
    done = function() return "done" end,
    unknown = function(ev) return ev:refuse("no-such-condition") end,
}

sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    local what = ev:payload():attr("what")
    local said = ways[what](ev)
    if what == "timer" then return ev:reply {"done", xmlns = NS} end
    return said
end)

sv.on("message/resource", function(ev) error("on purpose at a message") end, {open = true})

sv.save(function() error("on purpose in save") end)
