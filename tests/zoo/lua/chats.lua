-- Stands in the way of every message and does there what its option says.
sv.script {summary = "does wrong at every message", changes = {"message/resource"}}
sv.option {"how", kind = "enum", words = "nothing raises loops memory recursion pattern", preset = "nothing", manual = "What it does at each message."}

local ways = {
    raises = function() error("on purpose") end,
    loops = function() while true do pcall(function() while true do end end) end end,
    memory = function() local s = "x" while true do s = s .. s end end,
    recursion = function() local function f() return 1 + f() end f() end,
    pattern = function() return ("a"):rep(4000):find((".-"):rep(20) .. "b") end,
    nothing = function() end,
}

sv.on("message/resource", function() ways[sv.self.how]() end, {open = true})
