-- Literals that no stanza is made of.
local NS = "urn:stave:beast"
sv.script {summary = "makes giants", changes = {"iq-set/host"}, sends = {"host"}}

local function deep(levels)
    local t = {"x"}
    for _ = 1, levels do t = {"x", t} end
    return t
end

local function wide(count)
    local t = {"x"}
    for i = 1, count do t[i + 1] = "y" end
    return t
end

local ways = {
    items = function() return wide(20000) end,
    hole = function() return {"x", [1 << 40] = "y"} end,
    deep = function() return deep(100) end,
    text = function() return {"x", ("y"):rep(2000000)} end,
    sum = function() local big = {"x", ("y"):rep(1000000)} return {"x", big, big, big, big, big, big, big, big, big} end,
    unclean = function() return {"x", "\0"} end,
    name = function() return {"x y"} end,
    attribute = function() return {"x", ["a b"] = "y"} end,
}

sv.on("iq-set/host {" .. NS .. "}do", function(ev) return ev:reply {"done", xmlns = NS, ways[ev:payload():attr("what")]()} end)
