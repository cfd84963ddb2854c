--[[ The description and the headers together: what the generator and its checks work on. Whatever is wrong with one of them is
noted as a breach {file, line, rule, what}. ]]
local headers = require "headers"
local signature = require "signature"
local M = {}

local DESCRIPTION = "api/stave.lua"
local MARKS = {["local"] = true, message = true, native = true}
local GROWTH = {size = true, stride = true, never = true}

local Model = {}
Model.__index = Model

function Model:breach(file, line, what, rule)
    self.breaches[#self.breaches + 1] = {file = file, line = line, rule = rule or "description", what = what}
end

function Model:read(path)
    local file = io.open(self.root .. "/" .. path, "rb")
    if not file then return nil end
    local text = file:read("a")
    file:close()
    return text
end

-- Paths below `folder` whose names match, in order.
function Model:list(folder, pattern)
    local paths = {}
    local pipe = assert(io.popen(("cd '%s' && find %s -type f 2>/dev/null | LC_ALL=C sort"):format(self.root, folder)))
    for path in pipe:lines() do
        if path:match(pattern) then paths[#paths + 1] = path end
    end
    pipe:close()
    return paths
end

-- The line of the description where something is said; 1 if it can't be told.
function Model:line_of(text)
    local at = self.text:find(text, 1, true)
    if not at then return 1 end
    local _, count = self.text:sub(1, at):gsub("\n", "")
    return count + 1
end

function Model:read_headers()
    for _, path in ipairs(self:list("api/stave", "%.h$")) do
        local done, header = pcall(headers.read, path, self:read(path))
        if done then
            self.headers[#self.headers + 1] = header
            self.header[header.name] = header
            for _, struct in ipairs(header.structs) do self.struct[struct.name] = struct end
        elseif type(header) == "table" then
            self:breach(header.file, header.line, header.what)
        else
            error(header, 0)
        end
    end
end

-- ---- checks --------------------------------------------------------------------------------------------------------

-- The signature of a function that is written by hand: of its form alone, since it may be another than C's.
function Model:hand_written(text, line, name)
    local read, why = signature.parse(text)
    if not read then return self:breach(DESCRIPTION, line, ("%s: \"%s\" %s"):format(name, text, why)) end
    read.is_hand = true
    return read
end

function Model:check_besides()
    self.besides = {}
    for i, entry in ipairs(self.desc.besides or {}) do
        local line = self:line_of('"' .. tostring(entry[1]))
        local read = self:hand_written(tostring(entry[1]), line, "besides " .. i)
        if type(entry[2]) ~= "string" then self:breach(DESCRIPTION, line, tostring(entry[1]) .. ": it needs a sentence that says what it does") end
        if read then
            read.about = entry[2]
            self.besides[#self.besides + 1] = read
        end
    end
end

-- No name of Lua stands for two things.
function Model:check_lua_names()
    if not self.api then return end
    local seen = {}
    for _, lua in ipairs(self:lua_functions()) do
        local name = lua.owner .. ":" .. lua.name
        if seen[name] then self:breach(DESCRIPTION, self:line_of(lua.text), "two functions of Lua are called " .. name) end
        seen[name] = true
    end
end

-- All that Lua calls, by owner, in the order of the description; each knows its member (nil for what is besides).
function Model:lua_functions()
    local list = {}
    for _, group in ipairs(self.desc.groups) do
        for _, entry in ipairs(group) do
            local item = self:table_of(group.table or "sv_api").functions[entry[1]]
            if item and item.lua then
                item.lua.member = item.member
                list[#list + 1] = item.lua
            end
        end
    end
    for _, lua in ipairs(self.besides) do list[#list + 1] = lua end
    return list
end

function Model:check_function(group, entry)
    local name, mark, lua = entry[1], entry[2], entry[3]
    local line = self:line_of('{"' .. name .. '",')
    local tab = self:table_of(group.table or "sv_api")
    if tab.functions[name] then return self:breach(DESCRIPTION, line, name .. " is described twice") end
    local item = {name = name, group = group, mark = mark, since = entry.since or 1, no_lua = entry.no_lua, says = entry.says, untested = entry.untested}
    tab.functions[name] = item
    if not MARKS[mark] then self:breach(DESCRIPTION, line, ("%s: its mark is local, message or native, not \"%s\""):format(name, tostring(mark))) end
    if item.since > self.desc.minor then
        self:breach(DESCRIPTION, line, ("%s is there since 0.%d, but this is %d.%d"):format(name, item.since, self.desc.major, self.desc.minor))
    end
    local member = tab.members[name]
    if not member then
        return self:breach(DESCRIPTION, line, ("%s is no member of %s in %s: take it out, or append it there"):format(name, tab.struct.name,
            tab.struct.header.path))
    end
    item.member, member.item = member, item
    local given = (lua and 1 or 0) + (entry.hand and 1 or 0) + (entry.no_lua and 1 or 0)
    if given ~= 1 then
        return self:breach(DESCRIPTION, line, name .. ": either how Lua calls it, or `hand` and how, or `no_lua` and why not")
    end
    if entry.hand then
        item.lua = self:hand_written(entry.hand, line, name)
        return
    end
    if not lua then return end
    local read, why = signature.parse(lua)
    if not read then return self:breach(DESCRIPTION, line, ("%s: \"%s\" %s"):format(name, lua, why)) end
    local fault = signature.check(read, member)
    if fault then return self:breach(DESCRIPTION, line, ("%s: \"%s\" %s"):format(name, lua, fault)) end
    if read.yields and mark ~= "message" then
        return self:breach(DESCRIPTION, line, name .. " calls back later: its mark is message")
    end
    item.lua = read
end

-- A comment that stands above several members speaks of all: "One / two / three", or by name.
local function speaks_of(comment, member)
    if comment:find("%s/%s") then return true end
    for word in comment:gmatch("[%w_]+") do
        if word == member.name then return true end
    end
    return false
end

function Model:check_member(tab, member)
    local file = tab.struct.header.path
    if not member.comment then
        return self:breach(file, member.line, member.name .. " has no comment: above it stands its manual", "prototype")
    end
    if member.group and member.group[1] ~= member.name and not speaks_of(member.comment, member) then
        self:breach(file, member.line, ("%s stands under a comment that is about %s: give it one of its own"):format(member.name,
            member.group[1]), "prototype")
    end
    local item = member.item
    if not item then
        local line = ('{"%s", "local", "event:%s(...): ..."}'):format(member.name, member.name)
        return self:breach(file, member.line, ("%s is not in api/stave.lua: add %s to its group"):format(member.name, line))
    end
    if tab.struct.name ~= "sv_api" then return end
    local section = member.section and member.section:match("^[%w_]+") or "none"
    if section ~= item.group.name then
        self:breach(file, member.line, ("%s is of the group \"%s\" but stands under \"%s\": put /* -- %s -- */ above it"):format(member.name,
            item.group.name, member.section or "no section", item.group.name))
    end
end

-- The table of functions in a struct: its members by name and in order, and what is described of them.
function Model:table_of(name)
    for _, tab in ipairs(self.tables) do
        if tab.struct.name == name then return tab end
    end
    local tab = {struct = self.struct[name], members = {}, order = {}, functions = {}}
    for _, member in ipairs(tab.struct.members) do
        if member.params then
            tab.members[member.name] = member
            tab.order[#tab.order + 1] = member
        end
    end
    self.tables[#self.tables + 1] = tab
    return tab
end

-- Functions are appended: none stands behind one that came later.
function Model:check_table(tab)
    local since = 1
    for _, member in ipairs(tab.order) do
        self:check_member(tab, member)
        if member.item then
            if member.item.since < since then
                self:breach(tab.struct.header.path, member.line, ("%s is there since 0.%d, but stands behind one of 0.%d: members are appended"):format(
                    member.name, member.item.since, since))
            end
            since = math.max(since, member.item.since)
        end
    end
end

function Model:check_group(group)
    local line = self:line_of('name = "' .. group.name .. '"')
    group.version = 1
    if group.table and not self.struct[group.table] then
        return self:breach(DESCRIPTION, line, ("group %s: %s is no struct of the headers"):format(group.name, group.table))
    end
    if group.table and not (group.given_by and group.include) then
        return self:breach(DESCRIPTION, line, ("group %s: a table of its own is `given_by` a function of the server in the header `include`"):format(group.name))
    end
    self:table_of(group.table or "sv_api")
    for _, entry in ipairs(group) do
        self:check_function(group, entry)
        group.version = math.max(group.version, entry.since or 1)
    end
    if group.header and not self.header[group.header] then
        self:breach(DESCRIPTION, line, ("group %s: there is no api/stave/%s"):format(group.name, group.header))
    end
end

function Model:check_functions()
    if not self.struct.sv_api then return self:breach(DESCRIPTION, 1, "api/stave/module.h has no sv_api") end
    self.api = self:table_of("sv_api")
    local names = {}
    for _, group in ipairs(self.desc.groups) do
        if names[group.name] then self:breach(DESCRIPTION, self:line_of('name = "' .. group.name .. '"'), "two groups are called " .. group.name) end
        names[group.name] = true
        self:check_group(group)
    end
    for _, tab in ipairs(self.tables) do self:check_table(tab) end
end

-- A helper in a header is built into modules that older servers load: it asks before it uses what those may lack.
function Model:check_inline(header, inline)
    for name in inline.body:gmatch("%f[%w_]sv%s*%->%s*([%w_]+)") do
        local member = self.api.members[name]
        local since = member and member.item and member.item.since or 1
        if since > 1 and not inline.body:find("SV_HAS(" .. name .. ")", 1, true) then
            self:breach(header.path, inline.line, ("%s uses %s, which is there since 0.%d: ask SV_HAS(%s) before, and have an answer without it"):format(
                inline.name, name, since, name))
        end
    end
end

function Model:check_structs()
    for name, growth in pairs(self.desc.structs) do
        local line = self:line_of(name .. " =")
        if not self.struct[name] then self:breach(DESCRIPTION, line, name .. " is no struct of the headers") end
        if not GROWTH[growth] then self:breach(DESCRIPTION, line, ("%s grows by size, stride or never, not by \"%s\""):format(name, tostring(growth))) end
    end
    for _, header in ipairs(self.headers) do
        for _, struct in ipairs(header.structs) do
            if not self.desc.structs[struct.name] then
                self:breach(header.path, struct.line, ("%s is not in api/stave.lua: say under `structs` how it may grow"):format(struct.name))
            end
            for _, member in ipairs(struct.members) do
                if member.params and not member.comment then
                    self:breach(header.path, member.line, ("%s.%s has no comment: above it stands its manual"):format(struct.name, member.name), "prototype")
                end
            end
        end
        for _, inline in ipairs(header.functions) do
            if not inline.comment then
                self:breach(header.path, inline.line, inline.name .. " has no comment: above it stands its manual", "prototype")
            end
            self:check_inline(header, inline)
        end
    end
end

function Model:check_points()
    local seen = {}
    for i, point in ipairs(self.desc.points) do
        local line = self:line_of('point "' .. point.name .. '"')
        point.id = point.name:upper():gsub("[/-]", "_")
        if seen[point.name] then self:breach(DESCRIPTION, line, "two hook points are called " .. point.name) end
        seen[point.name] = i
        for _, what in ipairs({"meaning", "done", "default"}) do
            if type(point[what]) ~= "string" then self:breach(DESCRIPTION, line, ("point %s does not say `%s`"):format(point.name, what)) end
        end
        if point.later ~= true and type(point.later) ~= "string" then
            self:breach(DESCRIPTION, line, ("point %s: `later` is true, or why a handler may not say LATER"):format(point.name))
        end
        if not point.about and not (point.from and point.to) then
            self:breach(DESCRIPTION, line, ("point %s: who are `from` and `to`, or whom is it `about`?"):format(point.name))
        end
        if point.header and not self.header[point.header] then
            self:breach(DESCRIPTION, line, ("point %s: there is no api/stave/%s"):format(point.name, point.header))
        end
    end
end

function Model:check_version()
    local header = self.header["module.h"]
    if not header then return end
    for _, constant in ipairs(header.constants) do
        local want = constant.name == "SV_ABI_MAJOR" and self.desc.major or constant.name == "SV_ABI_MINOR" and self.desc.minor
        if want and tostring(want) ~= constant.value then
            self:breach(header.path, constant.line, ("%s is %s, in api/stave.lua it is %d"):format(constant.name, constant.value, want))
        end
    end
end

-- Constants and enums that stand in no generated part are in the description all the same.
function Model:check_enums()
    for _, header in ipairs(self.headers) do
        for _, enum in ipairs(header.enums) do
            local is_known = false
            for _, described in ipairs(self.desc.enums) do is_known = is_known or described.name == enum.name end
            if not is_known then self:breach(header.path, enum.line, enum.name .. " is not in api/stave.lua: add it under `enums`") end
        end
    end
end

-- Values are told apart; flags are bits of their own, all of those with the prefix are described.
function Model:check_values()
    for _, enum in ipairs(self.desc.enums) do
        local seen = {}
        for _, value in ipairs(enum[1]) do
            if seen[value.value] then
                self:breach(DESCRIPTION, self:line_of('"' .. value.name .. '"'), ("%s has the value %d, as %s"):format(value.name, value.value, seen[value.value]))
            end
            seen[value.value] = value.name
        end
    end
    for _, group in ipairs(self.desc.flags) do
        local seen, known, prefix = {}, {}, nil
        for _, flag in ipairs(group[1]) do
            local line = self:line_of('"' .. flag.name .. '"')
            if flag.value <= 0 or flag.value & (flag.value - 1) ~= 0 then self:breach(DESCRIPTION, line, flag.name .. " is no single bit") end
            if seen[flag.value] then self:breach(DESCRIPTION, line, ("%s is the bit %d, as %s"):format(flag.name, flag.value, seen[flag.value])) end
            seen[flag.value], known[flag.name] = flag.name, true
            prefix = prefix or flag.name:match("^SV_%u+_")
        end
        for _, constant in ipairs(self.header[group.header] and self.header[group.header].constants or {}) do
            if prefix and constant.name:sub(1, #prefix) == prefix and not known[constant.name] then
                self:breach(self.header[group.header].path, constant.line, ("%s is not in api/stave.lua: add it under `flags`, \"%s\""):format(constant.name,
                    group.name))
            end
        end
    end
end

-- The model of the tree at `root`, or nil if it has no description.
function M.load(root)
    local model = setmetatable({root = root, headers = {}, header = {}, struct = {}, tables = {}, breaches = {}},
        Model)
    model.text = model:read(DESCRIPTION)
    if not model.text then return nil end
    local chunk, why = load(model.text, "@" .. DESCRIPTION, "t", {ipairs = ipairs, pairs = pairs, string = string, table = table})
    local done, desc = false, why
    if chunk then done, desc = pcall(chunk) end
    if not done then
        local line, what = tostring(desc):match("^[^:]*:(%d+): (.*)$")
        model:breach(DESCRIPTION, tonumber(line) or 1, what or tostring(desc))
        return model
    end
    model.desc = desc
    model:read_headers()
    if #model.breaches > 0 then return model end -- a header that can't be read says nothing of what it has
    model:check_version()
    model:check_functions()
    model:check_besides()
    model:check_lua_names()
    model:check_structs()
    model:check_points()
    model:check_enums()
    model:check_values()
    return model
end

return M
