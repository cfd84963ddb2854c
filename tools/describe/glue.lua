--[[ Glue: for each function of the module table that Lua calls as C has it, a function of C that takes the arguments off Lua's stack
and puts the results there; tables of all that Lua calls, by owner. What is written by hand is declared here, so that a missing one does not
link. ]]
local write = require "write"
local M = {}

local HEAD = "/* %s\n *\n * Generated from api/stave.lua by `make generate`: a change here is lost. */\n"
local OWNERS = {"sv", "event", "stanza", "node", "session", "rows", "store"}

-- How an argument of a kind is taken; %d is its place on the stack.
local take = {
    STR = {"const sv_str ", "svi_arg_str(L, %d)", "svi_arg_str_or_none(L, %d)"},
    WORD = {"const char *", "svi_arg_word(L, %d)"},
    INT64 = {"const int64_t ", "svi_arg_int(L, %d, INT64_MIN, INT64_MAX)"},
    INT = {"const int ", "(int)svi_arg_int(L, %d, INT32_MIN, INT32_MAX)"},
    SIZE = {"const size_t ", "(size_t)svi_arg_int(L, %d, 0, INT64_MAX)"},
    BOOL = {"const bool ", "svi_arg_bool(L, %d)"},
    NODE = {"const sv_node *", "svi_arg_node(L, %d, NULL)"},
    STANZA = {"const sv_stanza *", "svi_arg_stanza(L, %d)"},
    SESSION = {"sv_session *", "svi_arg_session(L, %d)"},
    ROWS = {"const sv_rows *", "svi_arg_rows(L, %d)"},
}
-- How a result is given.
local give = {
    STR = "svi_push_str(L, %s)", INT64 = "lua_pushinteger(L, %s)", INT = "lua_pushinteger(L, %s)",
    SIZE = "lua_pushinteger(L, (lua_Integer)%s)", UINT64 = "lua_pushinteger(L, (lua_Integer)%s)", BOOL = "lua_pushboolean(L, %s)",
    JID = "svi_push_jid(L, %s)", STANZA = "svi_push_stanza(L, task, %s)", SESSION = "svi_push_session(L, task, %s)",
}
local outs = {STR = "sv_str", JID = "sv_jid"}

local function fail(lua, what)
    error({glue = ("\"%s\" %s: write it by hand, as svi_lua_%s_%s"):format(lua.text, what, lua.owner, lua.name)}, 0)
end

-- One function on its way.
local Function = {}
Function.__index = Function

function Function:line(text) self.lines[#self.lines + 1] = "    " .. text .. ";\n" end

-- The task, once.
function Function:task(how)
    if self.has_task then return end
    self.has_task = true
    self:line("svi_task *task = " .. how)
end

function Function:place()
    self.at = self.at + 1
    return self.at
end

function Function:argument(value)
    local at, name = self:place(), value.name
    if value.kind == "EVENT" then
        self:task(("svi_arg_event(L, %d)"):format(at))
        return "task->ev"
    elseif value.kind == "JID" then
        self:line("sv_jid " .. name)
        self:line(("svi_arg_jid(L, %d, task, &%s)"):format(at, name))
        return "&" .. name
    end
    local how = take[value.kind]
    local form = how and (value.may_be_nil and how[3] or not value.may_be_nil and how[2])
    if not form then fail(self.lua, "takes a " .. value.kind .. (value.may_be_nil and " that may be nil" or "")) end
    self:line(how[1] .. name .. " = " .. form:format(at))
    return name
end

function Function:value(value)
    local role = value.role
    if role == "GIVEN" and value.kind == "MOD" then
        self:task("svi_task_here(L)")
        return "task->host->mod"
    elseif role == "GIVEN" and value.kind == "EVENT" then
        self:task(("svi_task_event(L, \"%s\")"):format(self.lua.name))
        return "task->ev"
    elseif role == "RECEIVER" or role == "ARGUMENT" then
        return self:argument(value)
    elseif role == "RESULT" and outs[value.kind] and not self.out then
        self.out = value.name
        self:line(outs[value.kind] .. " " .. value.name)
        return "&" .. value.name
    end
    fail(self.lua, "has a value \"" .. value.name .. "\" that glue does not know")
end

-- What is made in the event's memory is counted.
function Function:is_made()
    for _, parameter in ipairs(self.lua.member.parameters) do
        if parameter.type == "sv_event *" then return true end
    end
    return false
end

function Function:give_str(given, expression)
    self:line("const sv_str given = " .. expression)
    if self:is_made() then self:line("svi_task_makes(task, L, given.n)") end
    self:line((given.may_be_nil and "svi_push_str_or_nil" or "svi_push_str") .. "(L, given)")
end

-- A node is of the stanza that it was reached by.
function Function:give_node(expression)
    if self.lua.owner == "event" then
        self:line("const sv_node *given = " .. expression)
        self:line("svi_push_node(L, task, given, api->stanza(task->ev))")
    else
        self:line("svi_push_node_of(L, 1, " .. expression .. ")")
    end
end

function Function:results(call)
    local given = self.lua.given
    if #given ~= 1 then fail(self.lua, "has " .. #given .. " results") end
    local kind = given[1].kind
    if self.out then
        self.lines[#self.lines + 1] = ("    if (%s)\n        %s;\n    else\n        lua_pushnil(L);\n"):format(call,
            give[kind]:format((kind == "JID" and "&" or "") .. self.out))
    elseif kind == "STR" then
        self:give_str(given[1], call)
    elseif kind == "NODE" then
        self:give_node(call)
    elseif give[kind] then
        self:line(give[kind]:format(call))
    else
        fail(self.lua, "gives a " .. kind)
    end
    self:line("return 1")
end

local function function_text(lua)
    local f = setmetatable({lua = lua, lines = {}, at = 0}, Function)
    local values = {}
    -- a receiver stands on the stack before all, and knows the task
    for i, value in ipairs(lua.values) do
        if value.role == "RECEIVER" then values[i] = f:value(value) end
    end
    f:line("const sv_api *api = svi_script_of(L)->sv")
    for i, value in ipairs(lua.values) do values[i] = values[i] or f:value(value) end
    f:results(("api->%s(%s)"):format(lua.member.name, table.concat(values, ", ")))
    return ("/* %s */\nstatic int %s_%s(lua_State *L)\n{\n%s}\n"):format(lua.text, lua.owner, lua.name, table.concat(f.lines))
end

local function table_text(model, owner)
    local lines = {"const luaL_Reg svi_lua_" .. owner .. "[] = {\n"}
    for _, lua in ipairs(model:lua_functions()) do
        if lua.owner == owner then
            lines[#lines + 1] = ("    {\"%s\", %s%s_%s},\n"):format(lua.name, lua.is_hand and "svi_lua_" or "", lua.owner, lua.name)
        end
    end
    lines[#lines + 1] = "    {NULL, NULL}};\n"
    return table.concat(lines)
end

local function conds_text(model)
    local words = {}
    for _, enum in ipairs(model.desc.enums) do
        if enum.name == "sv_cond" then
            for _, cond in ipairs(enum[1]) do words[cond.value] = '"' .. write.word(cond.name) .. '"' end
        end
    end
    return "const char *const svi_script_conds[] = {\n    " .. table.concat(words, ",\n    ") .. ",\n    NULL};\n"
end

local function points_text(model)
    local lines = {"const svi_script_point svi_script_points[] = {\n"}
    for _, point in ipairs(model.desc.points) do
        if point.fired then
            lines[#lines + 1] = ("    {\"%s\", %s, %s},\n"):format(point.name, point.about:find("^the account") and "true" or "false",
                point.later == true and "true" or "false")
        end
    end
    lines[#lines + 1] = "    {NULL, false, false}};\n"
    return table.concat(lines)
end

local function source(model)
    local out = {HEAD:format("Glue between Lua and the module table."), '#include "script/script_glue.h"\n\n#include "script/script_calls.h"\n'}
    for _, lua in ipairs(model:lua_functions()) do
        if not lua.is_hand then out[#out + 1] = "\n" .. function_text(lua) end
    end
    for _, owner in ipairs(OWNERS) do out[#out + 1] = "\n" .. table_text(model, owner) end
    out[#out + 1] = "\n" .. conds_text(model) .. "\n" .. points_text(model)
    return table.concat(out)
end

local function header(model)
    local out = {HEAD:format("Functions of Lua by whose they are, and the words of the interface."),
        '#ifndef SVI_SCRIPT_GLUE_H\n#define SVI_SCRIPT_GLUE_H\n\n#include <lauxlib.h>\n#include <lua.h>\n#include <stdbool.h>\n\n',
        "/* What Lua calls, each list ended by a NULL. */\n"}
    for _, owner in ipairs(OWNERS) do out[#out + 1] = "extern const luaL_Reg svi_lua_" .. owner .. "[];\n" end
    out[#out + 1] = "\n/* Conditions of errors as XML has them, from SV_BAD_REQUEST on, ended by a NULL. */\n" ..
        "extern const char *const svi_script_conds[];\n" ..
        "\n/* An occasion that scripts may fire; it is about an account, or about the host. Where its handlers may wait\n * it is an event of its own. */\n" ..
        "typedef struct svi_script_point {\n    const char *name; /* NULL: the end */\n    bool is_of_account;\n    bool may_wait;\n} svi_script_point;\n" ..
        "extern const svi_script_point svi_script_points[];\n\n/* --- written by hand: each takes its arguments off the stack, raises if they are wrong, and returns how many results it put there */\n"
    for _, lua in ipairs(model:lua_functions()) do
        if lua.is_hand then
            out[#out + 1] = ("\n/* %s */\nint svi_lua_%s_%s(lua_State *L);\n"):format(lua.text, lua.owner, lua.name)
        end
    end
    return table.concat(out) .. "\n#endif\n"
end

-- Both files, by path; a signature that can't be glued is a breach.
function M.files(model)
    local done, files = pcall(function()
        return {["server/script/script_glue.c"] = source(model), ["server/script/script_glue.h"] = header(model)}
    end)
    if done then return files end
    if type(files) ~= "table" then error(files, 0) end
    model:breach("api/stave.lua", 1, files.glue)
    return {}
end

return M
