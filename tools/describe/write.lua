--[[ What is made of the description in C: parts of headers between two marks, and whole files. ]]
local M = {}

local BEGIN = "/* generated from api/stave.lua by `make generate`: "
local END = "/* generated: end */\n"
local WIDTH = 100

-- Words folded to lines that begin with `indent` and are no wider than the house style's.
function M.fold(text, indent, first)
    local lines, line = {}, first or indent
    local is_empty = true
    for word in text:gmatch("%S+") do
        if not is_empty and #line + 1 + #word > WIDTH then
            lines[#lines + 1] = line
            line, is_empty = indent, true
        end
        line = line .. (is_empty and "" or " ") .. word
        is_empty = false
    end
    lines[#lines + 1] = line
    return table.concat(lines, "\n")
end

local function comment(text)
    return M.fold(text:gsub("(%S+)%s*$", "%1\1*/"), " * ", "/* "):gsub("\1", " ") .. "\n"
end

local function list_of(entry) return entry[1] end

local function enum_text(enum)
    local lines, list = {comment(enum.text), "typedef enum ", enum.name, " {\n"}, list_of(enum)
    local width = 0
    for i, value in ipairs(list) do
        value.code = ("    %s = %d%s"):format(value.name, value.value, i < #list and "," or "")
        width = math.max(width, #value.code)
    end
    for _, value in ipairs(list) do
        lines[#lines + 1] = value.code
        if value.text then lines[#lines + 1] = (" "):rep(width - #value.code + 1) .. "/* " .. value.text .. " */" end
        lines[#lines + 1] = "\n"
    end
    lines[#lines + 1] = "} " .. enum.name .. ";\n"
    return table.concat(lines)
end

local function flags_text(group)
    local lines = {group.text and comment(group.text) or nil}
    for _, flag in ipairs(list_of(group)) do
        local code = ("#define %s %du"):format(flag.name, flag.value)
        local beside = code .. " /* " .. flag.text .. " */\n"
        lines[#lines + 1] = #beside <= WIDTH and beside or comment(flag.text) .. code .. "\n"
    end
    return table.concat(lines)
end

-- A constant as Lua and XML have it: SV_BAD_REQUEST, "bad-request".
function M.word(constant)
    return (constant:gsub("^SV_", ""):lower():gsub("_", "-"))
end

local function c_string(text)
    return '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

local function points_text(model)
    local lines = {"#define SVI_POINTS(X)"}
    for _, point in ipairs(model.desc.points) do
        local text = point.meaning
        if point.header then text = text .. " (stave/" .. point.header .. ")" end
        local first, second = ("    X(%s, %s,"):format(point.id, c_string(point.name)), c_string(text) .. ")"
        lines[#lines + 1] = first .. (#first + #second < WIDTH - 2 and " " or "\n      ") .. second
    end
    local whole = table.concat(lines, "\n")
    local out = {}
    for line in (whole .. "\n"):gmatch("(.-)\n") do out[#out + 1] = line end
    for i = 1, #out - 1 do out[i] = out[i] .. (" "):rep(math.max(1, WIDTH - 1 - #out[i])) .. "\\" end
    return table.concat(out, "\n") .. "\n"
end

local HEAD = "/* %s\n *\n * Generated from api/stave.lua by `make generate`: a change here is lost. */\n"

local function groups_file(model)
    local lines = {HEAD:format("The groups of the module table, each with its version (the minor release that appended its newest function), and\n" ..
        " * what returns its table: X(name, version, function)."), "#ifndef SVI_MODS_GROUPS_H\n#define SVI_MODS_GROUPS_H\n\n"}
    for _, group in ipairs(model.desc.groups) do
        if group.include then lines[#lines + 1] = '#include "' .. group.include .. '"\n\n' end
    end
    lines[#lines + 1] = "#define SVI_GROUPS(X)"
    for _, group in ipairs(model.desc.groups) do
        lines[#lines + 1] = (" \\\n    X(%s, %du, %s)"):format(c_string(group.name), group.version, group.given_by or "flat")
    end
    return table.concat(lines) .. "\n\n#endif\n"
end

-- The table of error conditions: SV_BAD_REQUEST is "bad-request".
local function conditions_text(model)
    for _, enum in ipairs(model.desc.enums) do
        if enum.name == "sv_cond" then
            local lines = {}
            for _, cond in ipairs(list_of(enum)) do
                lines[#lines + 1] = ('    [%s] = {%s, %s},\n'):format(cond.name, c_string(M.word(cond.name)), c_string(cond.text))
            end
            return table.concat(lines) .. "    "
        end
    end
end

-- The parts of each file, by their names.
local function parts(model)
    local files = {["server/bus/bus_points.h"] = {points = points_text(model)},
                   ["server/xmpp/xmpp_answer.c"] = {conditions = conditions_text(model)}}
    for _, list in ipairs({model.desc.enums, model.desc.flags}) do
        for _, entry in ipairs(list) do
            local path = "api/stave/" .. entry.header
            files[path] = files[path] or {}
            files[path][entry.name .. (list == model.desc.flags and " flags" or "")] =
                list == model.desc.enums and enum_text(entry) or flags_text(entry)
        end
    end
    return files
end

-- The file with its generated parts made anew.
local function with_parts(model, path, fresh)
    local text, used = model:read(path), {}
    if not text then return model:breach(path, 1, "is not there", "generated") end
    local out, at = {}, 1
    while true do
        local first, last = text:find(BEGIN, at, true)
        if not first then break end
        local name = text:sub(last + 1):match("^(.-) %*/\n")
        local stop, stop_end = text:find(END, last, true)
        local _, line = text:sub(1, first):gsub("\n", "")
        if not name or not stop then return model:breach(path, line + 1, "this generated part has no end", "generated") end
        if not fresh[name] then
            return model:breach(path, line + 1, ("api/stave.lua describes no \"%s\" for this file: take the part out, or describe it"):format(name), "generated")
        end
        used[name] = true
        out[#out + 1] = text:sub(at, first - 1) .. BEGIN .. name .. " */\n" .. fresh[name] .. END
        at = stop_end + 1
    end
    out[#out + 1] = text:sub(at)
    for name in pairs(fresh) do
        if not used[name] then
            model:breach(path, 1, ("has no part \"%s\": put the lines \"%s%s */\" and \"%s\" where it belongs"):format(name, BEGIN, name, END:sub(1, -2)), "generated")
        end
    end
    return table.concat(out)
end

-- What a test holds against the events themselves.
local function points_test_file(model)
    local lines = {HEAD:format("What api/stave.lua says of the event at each hook point, for the test that looks:\n" ..
        " * X(name, about an account or the host or neither, stanza, session, subject, LATER)."),
        "#ifndef TESTS_MODULES_POINTS_H\n#define TESTS_MODULES_POINTS_H\n\n#define DESCRIBED_POINTS(X)"}
    for _, point in ipairs(model.desc.points) do
        local about = point.about and (point.about:find("^the account") and "ACCOUNT" or "HOST") or "OTHER"
        lines[#lines + 1] = (" \\\n    X(%s, %s, %s, %s, %s, %s)"):format(c_string(point.name), about, point.stanza and "true" or "false",
            point.session and "true" or "false", point.subject and "true" or "false", point.later == true and "true" or "false")
    end
    return table.concat(lines) .. "\n\n#endif\n"
end

-- All generated C: path to text.
function M.files(model)
    local files = {}
    for path, fresh in pairs(parts(model)) do files[path] = with_parts(model, path, fresh) end
    files["server/mods/mods_groups.h"] = groups_file(model)
    files["tests/modules/modules_points.h"] = points_test_file(model)
    return files
end

return M
