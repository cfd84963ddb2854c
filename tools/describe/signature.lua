--[[ How Lua calls a function of the table: reads "event:put(store: store, ...): status" and holds it against the C prototype, so that
glue can be made of both. ]]
local M = {}

-- C types as the binding data name them, and what Lua has for each.
local kinds = {
    ["sv_str"] = {"STR", "string"}, ["const char *"] = {"WORD", "string"},
    ["int64_t"] = {"INT64", "integer"}, ["int"] = {"INT", "integer"}, ["size_t"] = {"SIZE", "integer"},
    ["uint32_t"] = {"UINT32", "integer"}, ["uint64_t"] = {"UINT64", "integer"}, ["bool"] = {"BOOL", "boolean"},
    ["const sv_jid *"] = {"JID", "jid"}, ["const sv_stanza *"] = {"STANZA", "stanza"}, ["const sv_node *"] = {"NODE", "node"},
    ["sv_session *"] = {"SESSION", "session"}, ["const sv_session *"] = {"SESSION", "session"}, ["sv_store *"] = {"STORE", "store"}, ["const sv_store *"] = {"STORE", "store"},
    ["sv_rows *"] = {"ROWS", "rows"}, ["const sv_rows *"] = {"ROWS", "rows"}, ["sv_draft *"] = {"DRAFT", "draft"},
    ["const sv_draft *"] = {"DRAFT", "draft"}, ["sv_event *"] = {"EVENT", "event"}, ["const sv_event *"] = {"EVENT", "event"},
    ["sv_status"] = {"STATUS", "status"}, ["sv_verdict"] = {"VERDICT", "verdict"}, ["sv_cond"] = {"COND", "cond"},
    ["sv_level"] = {"LEVEL", "level"}, ["sv_fault"] = {"FAULT", "fault"}, ["sv_timer_fn"] = {"FUNCTION", "function"},
    ["const sv_str *"] = {"LIST", "table"},
}
local outs = {
    ["sv_str *"] = {"STR", "string"}, ["sv_jid *"] = {"JID", "jid"}, ["const sv_stanza **"] = {"STANZA", "stanza"},
    ["sv_store **"] = {"STORE", "store"}, ["int64_t *"] = {"INT64", "integer"},
}
-- What a callback gives, which is what Lua gets when the call returns.
local callbacks = {
    ["sv_rows_fn"] = {{"ROWS", "rows", true}, {"STATUS", "status"}},
    ["sv_get_fn"] = {{"STR", "string", true}, {"STATUS", "status"}},
    ["sv_get_schema_fn"] = {{"STR", "string", true}, {"UINT32", "integer"}, {"STATUS", "status"}},
    ["sv_accounts_fn"] = {{"LIST", "table", true}, {"BOOL", "boolean", true}, {"STATUS", "status"}},
}
local owners = {sv = true, event = true, stanza = true, node = true, session = true, rows = true, store = true}

-- "sv.log(a: b, c: d?): e yields" taken apart, or nil and why not.
function M.parse(text)
    local owner, dot, name, arguments, rest = text:match("^(%l+)([.:])([%l_]+)(%b())(.*)$")
    if not owner then return nil, "is no signature such as \"event:put(store: store, owner: string): status\"" end
    if not owners[owner] then return nil, "belongs to \"" .. owner .. "\", which is none of Lua's types" end
    if (dot == ".") ~= (owner == "sv") then return nil, "has a dot behind sv and a colon behind anything else" end
    local signature = {owner = owner, name = name, arguments = {}, results = {}, text = text}
    for part in (arguments:sub(2, -2) .. ","):gmatch("%s*(.-)%s*,") do
        if part ~= "" then
            local word, kind, none = part:match("^([%l_]+): (%l+)(%??)$")
            if not word then return nil, "has an argument \"" .. part .. "\" that is no \"name: type\"" end
            signature.arguments[#signature.arguments + 1] = {name = word, type = kind, may_be_nil = none == "?"}
        end
    end
    local results, yields = rest:match("^:? ?(.-)( ?yields)$")
    if not results then results = rest:match("^: (.*)$") or rest end
    signature.yields = yields ~= nil
    for part in results:gmatch("[^,]+") do
        local kind, none = part:match("^%s*(%l+)(%??)%s*$")
        if not kind then return nil, "has a result \"" .. part .. "\" that is no type" end
        signature.results[#signature.results + 1] = {type = kind, may_be_nil = none == "?"}
    end
    return signature
end

-- "session_jid" may be called jid as a method of a session, "row_count" count.
local function may_be_called(member, owner, name)
    if member == name then return true end
    local prefixes = owner == "rows" and {"rows_", "row_"} or {owner .. "_"}
    for _, prefix in ipairs(prefixes) do
        if member == prefix .. name then return true end
    end
    return false
end

local Match = {}
Match.__index = Match

function Match:add(role, kind, name, may_be_nil)
    self.values[#self.values + 1] = {role = role, kind = kind, name = name, may_be_nil = may_be_nil or false}
end

function Match:argument(kind, lua_type, parameter)
    self.next = self.next + 1
    local argument = self.signature.arguments[self.next]
    if not argument then return "lacks the argument \"" .. parameter .. "\"" end
    if argument.type ~= lua_type then
        return ("has \"%s: %s\" where the prototype's \"%s\" is a %s"):format(argument.name, argument.type, parameter, lua_type)
    end
    if parameter ~= "..." and parameter ~= "format" and argument.name ~= parameter then
        return ("calls \"%s\" what the prototype calls \"%s\""):format(argument.name, parameter)
    end
    self:add("ARGUMENT", kind, argument.name, argument.may_be_nil)
end

-- One parameter of C; returns what is wrong.
function Match:parameter(parameter, before)
    local type, owner = parameter.type, self.signature.owner
    if type == "sv_mod *" or type == "const sv_mod *" then return self:add("GIVEN", "MOD", parameter.name) end
    if (type == "sv_event *" or type == "const sv_event *") and owner ~= "event" then return self:add("GIVEN", "EVENT", parameter.name) end
    local known = kinds[type]
    if known and known[2] == owner and not self.has_receiver then
        self.has_receiver = true
        return self:add("RECEIVER", known[1], parameter.name)
    end
    if callbacks[type] then
        if not self.signature.yields then return "does not say that it yields" end
        self.callback = callbacks[type]
        return self:add("CALLBACK", "FUNCTION", parameter.name)
    end
    if outs[type] then
        local kind, lua_type = outs[type][1], outs[type][2]
        self.results[#self.results + 1] = {kind, lua_type, true}
        if parameter.name:match("_out$") then return self:add("RESULT", kind, parameter.name, true) end
        local fault = self:argument(kind, lua_type, parameter.name)
        if not fault then self.values[#self.values].role = "BOTH" end
        return fault
    end
    if type == "..." and before.name == "format" then return self:add("TEXT", "TEXT", "...") end
    if type == "..." then return self:argument("FIELDS", "table", "...") end
    if parameter.name == "count" and before.type == "const sv_str *" then return self:add("LENGTH", "SIZE", "count") end
    if not known then return "has nothing for the type \"" .. type .. "\"" end
    return self:argument(known[1], known[2], parameter.name)
end

-- What Lua gets, in its order.
function Match:expected(result)
    if self.callback then return self.callback end
    if #self.results > 0 and result == "bool" then return self.results end
    local list = self.results
    if result ~= "void" then
        local known = kinds[result]
        if not known then return nil, "has nothing for the result \"" .. result .. "\"" end
        list[#list + 1] = {known[1], known[2]}
    end
    return list
end

function Match:check_results(result)
    local expected, why = self:expected(result)
    if not expected then return why end
    if #expected ~= #self.signature.results then
        return ("has %d results where the prototype gives %d"):format(#self.signature.results, #expected)
    end
    self.signature.given = {}
    for i, want in ipairs(expected) do
        local got = self.signature.results[i]
        if got.type ~= want[2] then return ("says that result %d is a %s, which is a %s"):format(i, got.type, want[2]) end
        if want[3] and not got.may_be_nil then return ("says that result %d is always there; it is \"%s?\""):format(i, got.type) end
        self.signature.given[i] = {kind = want[1], may_be_nil = got.may_be_nil}
    end
end

-- Holds it against a member of the table; nil, or what is wrong. Fills signature.values and signature.given.
function M.check(signature, member)
    local match = setmetatable({signature = signature, values = {}, results = {}, next = 0}, Match)
    if not may_be_called(member.name, signature.owner, signature.name) then
        return ("is called \"%s\": Lua has the same names as C"):format(signature.name)
    end
    for i, parameter in ipairs(member.parameters) do
        local fault = match:parameter(parameter, member.parameters[i - 1])
        if fault then return fault end
    end
    if match.next < #signature.arguments then
        return "has an argument \"" .. signature.arguments[match.next + 1].name .. "\" that the prototype lacks"
    end
    if signature.owner ~= "sv" and not match.has_receiver then
        return "belongs to a " .. signature.owner .. ", which the prototype does not take"
    end
    if signature.yields and not match.callback then return "yields, but the prototype has no callback" end
    signature.values = match.values
    return match:check_results(member.result)
end

return M
