-- Loops without end, wherever Lua lets a script loop.
local NS = "urn:stave:beast"
sv.script {summary = "loops for ever", changes = {"iq-set/host"}}

local function forever() while true do end end

local function nest(depth)
    while true do
        pcall(coroutine.wrap(function()
            if depth > 0 then pcall(nest, depth - 1) end
            forever()
        end))
    end
end

local ways = {
    plain = forever,
    count = function() for _ = 1, math.maxinteger do end end,
    tail = function() local function again() return again() end return again() end,
    iterator = function() for _ in function() return 1 end do end end,
    pcall = function() while true do pcall(forever) end end,
    coroutine = function() coroutine.wrap(forever)() end,
    behind = function() coroutine.wrap(function() end)() forever() end,
    resume = function() while true do coroutine.resume(coroutine.create(forever)) end end,
    nest = function() nest(5) end,
    xpcall = function() xpcall(error, forever, "x") end,
    handlers = function() while true do xpcall(error, function() xpcall(error, forever, "y") end, "x") end end,
    index = function() return setmetatable({}, {__index = forever}).x end,
    tostring = function() return tostring(setmetatable({}, {__tostring = forever})) end,
    concat = function() return setmetatable({}, {__concat = forever}) .. "x" end,
    close = function() local x <close> = setmetatable({}, {__close = forever}) end,
    gc = function() setmetatable({}, {__gc = forever}) end,
    sort = function() table.sort({3, 2, 1}, forever) end,
    gsub = function() return ("x"):gsub("x", forever) end,
    json = function() return sv.json.encode(setmetatable({}, {__index = forever, __pairs = forever})) and forever() end,
    texts = function() while true do local _ = ("x"):rep(100000) end end,
    move = function() while true do pcall(table.move, {}, 1, math.maxinteger - 1, 2) end end,
    length = function() table.insert(setmetatable({}, {__len = function() return 1 << 40 end}), 1, "x") forever() end,
}

sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    ways[ev:payload():attr("what")]()
    return ev:reply {"done", xmlns = NS}
end)
