-- Patterns that take longer than anybody waits.
local NS = "urn:stave:beast"
sv.script {summary = "matches for ever", changes = {"iq-set/host"}}

local text = ("a"):rep(4000)
local ways = {
    backtrack = function() return text:find((".-"):rep(20) .. "b") end,
    optional = function() return ("a"):rep(30):match(("a?"):rep(30) .. ("a"):rep(30) .. "b") end,
    gsub = function() return text:gsub("a*a*a*a*b", "") end,
    gmatch = function() for _ in text:gmatch("a-a-a-a-b") do end end,
    balance = function() return ("("):rep(200000):find("%b()") end,
    plain = function() return ("a"):rep(1000000):find(("a"):rep(500000) .. "b", 1, true) end,
    caught = function() while true do pcall(text.find, text, (".-"):rep(20) .. "b") end end,
}

sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    ways[ev:payload():attr("what")]()
    return ev:reply {"done", xmlns = NS}
end)
