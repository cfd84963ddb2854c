-- Yields where nobody goes on with it, and waits where that is not possible.
local NS = "urn:stave:beast"
sv.script {summary = "yields to nobody", changes = {"iq-set/host", "message/*"}}

local ways = {
    yield = function() coroutine.yield(1) end,
    resumes = function() coroutine.resume(coroutine.running()) coroutine.yield() end,
    sort = function(ev) table.sort({2, 1}, function() ev:sleep(1) end) end,
    gsub = function(ev) return ("x"):gsub("x", function() ev:sleep(1) end) end,
    coroutine = function(ev) coroutine.wrap(function() ev:sleep(1) end)() end,
    long = function(ev) ev:sleep(30001) end,
    behind = function(ev) ev:reply() ev:sleep(1) end,
    pcall = function(ev) pcall(function() ev:sleep(1) end) return ev:reply {"done", xmlns = NS} end,
}

sv.on("iq-set/host {" .. NS .. "}do", function(ev) return ways[ev:payload():attr("what")](ev) end)
