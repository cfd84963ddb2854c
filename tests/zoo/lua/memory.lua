-- Takes all the memory that it can get, and keeps it if it is told so.
local NS = "urn:stave:beast"
sv.script {summary = "takes all memory", changes = {"iq-set/host"}}

local kept = {}
local function doubled() local s = "x" while true do s = s .. s end end
local function rows() local t = {} while true do t[#t + 1] = {} end end

local ways = {
    text = doubled,
    table = rows,
    rep = function() return ("x"):rep(1 << 40) end,
    concat = function() local t = {} for i = 1, 1000 do t[i] = ("x"):rep(10000) end while true do t[1] = table.concat(t) end end,
    caught = function() while true do pcall(doubled) pcall(rows) end end,
    coroutines = function() local t = {} while true do t[#t + 1] = coroutine.create(rows) end end,
    number = function() pcall(rows) local t = {} pcall(function() while true do t[#t + 1] = {t} end end) error(1.5) end,
    keeps = function() while true do kept[#kept + 1] = ("x"):rep(10000) .. #kept end end,
    little = function() local _ = {} end,
    frees = function() kept = {} end,
}

sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    ways[ev:payload():attr("what")]()
    return ev:reply {"done", xmlns = NS}
end)
