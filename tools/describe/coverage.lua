--[[ Who uses each hook point and each function of the table: test modules, and shipped modules that have tests. A point or function that
nobody uses has an excuse in api/stave.lua (`untested`), or is a fault; so is a function of Lua that no script in a test calls. ]]
local M = {}

local function short(path)
    return path:match("^tests/mods/(.*)%.c$") or path:match("^modules/([^/]+)/") or path
end

-- Text of C without comments, with the constants of the public headers in place of their names.
local function code(model, path, constants)
    local text = model:read(path):gsub("/%*.-%*/", "")
    return (text:gsub("[%u][%u%d_]+", constants))
end

local function sources(model)
    local tested = {}
    for _, path in ipairs(model:list("modules", "")) do
        local folder = path:match("^modules/([^/]+)/[^/]*_test%.c$") or path:match("^modules/([^/]+)/[^/]*%.flow$")
        if folder then tested[folder] = true end
    end
    local list = model:list("tests/mods", "%.c$")
    for _, path in ipairs(model:list("modules", "%.c$")) do
        if tested[path:match("^modules/([^/]+)/")] and not path:match("_test%.c$") then list[#list + 1] = path end
    end
    return list
end

local function note(users, name, path)
    users[name] = users[name] or {}
    local who = short(path)
    if not users[name][who] then
        users[name][who] = true
        table.insert(users[name], who)
    end
end

-- Name of a function or point to the list of who uses it.
local function users_of(model)
    local constants, functions, points = {}, {}, {}
    for _, header in ipairs(model.headers) do
        for _, constant in ipairs(header.constants) do
            if constant.is_text then constants[constant.name] = constant.value end
        end
    end
    for _, path in ipairs(sources(model)) do
        local text = code(model, path, constants)
        for name in text:gmatch("%->%s*([%w_]+)%s*%(") do note(functions, name, path) end
        for name in text:gmatch('"([%l-]+/[%l-]+)') do note(points, name, path) end
        if text:find("sv_command%s+[%w_]+%[%]") then note(points, "command/run", path) end
    end
    return functions, points
end

-- One line; what is wrong, or nil.
local function line(kind, name, users, excuse)
    local who = users and table.concat(users, " ", 1, math.min(#users, 6)) .. (#users > 6 and " ..." or "")
    print(("%-9s %-22s %s"):format(kind, name, who or excuse and "not used: " .. excuse or "NOT USED"))
    if not users and not excuse then
        return kind .. " " .. name .. " is used by no test module and no module with tests: use it in tests/mods, or say under `untested` in " ..
            "api/stave.lua why not"
    end
    if users and excuse then return kind .. " " .. name .. " has an excuse in api/stave.lua, but " .. users[1] .. " uses it: take `untested` out" end
end

-- Name of a function of Lua ("event:type") to the list of the tests whose scripts call it.
local function lua_users_of(model)
    local users = {}
    for _, path in ipairs(model:list("server/mods", "script[%w_]*_test%.c$")) do
        local text = model:read(path) -- "message/*" in a script begins no comment
        for _, lua in ipairs(model:lua_functions()) do
            local call = (lua.owner == "sv" and "sv%." or "[:.]") .. lua.name .. "%f[^%w_]"
            if text:find(call) then note(users, lua.owner .. ":" .. lua.name, path) end
        end
    end
    return users
end

local function lua_line(model, lua, users, faults)
    local name = lua.owner .. ":" .. lua.name
    print(("%-9s %-22s %s"):format("lua", name, users[name] and table.concat(users[name], " ") or "NOT USED"))
    if not users[name] then
        faults[#faults + 1] = ("api/stave.lua:%d: coverage: %s is called by no script in a test: call it in server/mods/mods_script_calls_test.c"):format(
            model:line_of(lua.text), name)
    end
end

-- Prints the list; true if nothing is wrong.
function M.tell(model)
    local functions, points = users_of(model)
    local faults = {}
    for _, point in ipairs(model.desc.points) do
        faults[#faults + 1] = line("point", point.name, points[point.name], point.untested)
    end
    for _, tab in ipairs(model.tables) do
        for _, member in ipairs(tab.order) do
            faults[#faults + 1] = line("function", member.name, functions[member.name], member.item.untested)
        end
    end
    for i, fault in ipairs(faults) do faults[i] = "api/stave.lua:" .. model:line_of('"' .. fault:match("^%l+ (%S+)") .. '"') .. ": coverage: " .. fault end
    local lua_users = lua_users_of(model)
    for _, lua in ipairs(model:lua_functions()) do lua_line(model, lua, lua_users, faults) end
    for _, fault in ipairs(faults) do print(fault) end
    return #faults == 0
end

return M
