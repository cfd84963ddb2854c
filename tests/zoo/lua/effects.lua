-- Ten thousand effects in one handler, and one more.
local NS = "urn:stave:beast"
sv.script {summary = "does too much", changes = {"iq-set/host", "disco/changed"}, sends = {"*"}}

local function times(n, f) for _ = 1, n do f() end end
local ways = {
    items = function(ev)
        times(10000, function() ev:session():set_item("effects", "x") end)
        ev:session():set_item("effects", "y")
    end,
    routes = function(ev)
        local text = ("x"):rep(1000)
        while true do ev:route {"message", to = "nobody@" .. sv.host(), {"body", text}} end
    end,
    -- each is less than a handler may take, all together are not
    fires = function(ev) times(10000, function() ev:fire("disco/changed") end) end,
    others = function(ev) times(10000, function() ev:fire("roster/shared", ev:from().bare) end) end,
    rules = function(ev) for i = 1, 100 do pcall(ev.drop, ev, "rule-" .. i) ev:reply() end end,
    names = function(ev) for i = 1, 100 do ev:session():set_item("effects-" .. i, "x") end end,
}

sv.on("disco/changed", function() for _ = 1, 100000 do end end)
sv.on("iq-set/host {" .. NS .. "}do", function(ev) return ways[ev:payload():attr("what")](ev) end)
