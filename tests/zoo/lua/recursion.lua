-- Calls itself, by all ways that lead through Lua and C.
local NS = "urn:stave:beast"
sv.script {summary = "calls itself", changes = {"iq-set/host"}}

local ways = {}
function ways.plain() return 1 + ways.plain() end
function ways.caught() while true do pcall(ways.plain) end end
function ways.pcall() return pcall(ways.pcall) and ways.plain() end
function ways.coroutine() coroutine.wrap(ways.coroutine)() end
function ways.gsub() return ("x"):gsub("x", ways.gsub) end
function ways.sort() table.sort({2, 1}, ways.sort) end
function ways.tostring()
    local t = {}
    return tostring(setmetatable(t, {__tostring = function() return tostring(t) end}))
end
function ways.index()
    local t = {}
    return setmetatable(t, {__index = t}).x.y
end
function ways.xpcall() xpcall(error, ways.xpcall, "x") ways.plain() end
function ways.json()
    local t = {}
    t.t = t
    assert(sv.json.encode(t))
end
function ways.literal(ev)
    local t = {"x"}
    t[2] = t
    return ev:reply {"done", xmlns = NS, t}
end

sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    local way = ways[ev:payload():attr("what")]
    way(way == ways.literal and ev or nil)
    return ev:reply {"done", xmlns = NS}
end)
