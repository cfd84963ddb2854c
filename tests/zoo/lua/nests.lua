-- Goes deep into C and Lua, fires an occasion there, and goes deep again in the handler of that.
local NS = "urn:stave:beast"
sv.script {summary = "nests", changes = {"iq-set/host", "disco/changed"}}

local ways = {
    gsub = function(f) ("x"):gsub("x", f) end,
    sort = function(f) table.sort({2, 1}, f) end,
    pcall = function(f) pcall(f) end,
    wrap = function(f) coroutine.wrap(f)() end,
    tostring = function(f) tostring(setmetatable({}, {__tostring = function() f() return "" end})) end,
}
local how, deepest = nil, 0

local function deep(ev, levels)
    if levels == 0 then return ev:fire("disco/changed") end
    ways[how](function() deep(ev, levels - 1) end)
end

local function dive(ev)
    deepest = deepest + 1
    for levels = 190, 150, -5 do
        if pcall(deep, ev, levels) then return end
    end
end

sv.on("disco/changed", dive)
sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    how, deepest = ev:payload():attr("what"), 0
    dive(ev)
    return ev:reply {"done", xmlns = NS, value = deepest}
end)
