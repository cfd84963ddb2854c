--[[ The binary interface of the public headers as text: offset, size and type of each member, value of each constant, as a compiler
has them; and what lies between two such texts. ]]
local M = {}

local function quote(text)
    return '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

local function function_type(result, parameters)
    local types = {}
    for i, parameter in ipairs(parameters) do types[i] = parameter.type end
    return result .. " (*)(" .. (#types > 0 and table.concat(types, ", ") or "void") .. ")"
end

-- Names of parameters are nobody's business.
local function type_of(member)
    return member.parameters and function_type(member.result, member.parameters) or member.type
end

local function print_struct(model, struct, out)
    out[#out + 1] = ('    printf("struct %s %%zu %s\\n", sizeof(%s));\n'):format(struct.name, model.desc.structs[struct.name], struct.name)
    for _, member in ipairs(struct.members) do
        out[#out + 1] = ('    printf("    %s: %%zu %%zu %%s\\n", offsetof(%s, %s), sizeof(((%s *)0)->%s), %s);\n'):format(member.name, struct.name,
            member.name, struct.name, member.name, quote(type_of(member)))
    end
end

local function print_constants(header, out)
    local is_first = true
    for _, constant in ipairs(header.constants) do
        if not constant.name:match("^SV_ABI_") then
            if is_first then out[#out + 1] = ('    printf("constants %s\\n");\n'):format(header.name) end
            is_first = false
            out[#out + 1] = constant.is_text and ('    printf("    %s: %%s\\n", %s);\n'):format(constant.name, quote(constant.value)) or
                ('    printf("    %s: %%lld\\n", (long long)%s);\n'):format(constant.name, constant.name)
        end
    end
end

local function print_types(header, out)
    local is_first = true
    for _, item in ipairs(header.types) do
        if is_first then out[#out + 1] = ('    printf("types %s\\n");\n'):format(header.name) end
        is_first = false
        out[#out + 1] = ('    printf("    %s: %%zu %%s\\n", sizeof(%s), %s);\n'):format(item.name, item.name,
            quote(item.base or function_type(item.result, item.parameters)))
    end
end

local function print_enum(enum, out)
    out[#out + 1] = ('    printf("enum %s %%zu\\n", sizeof(%s));\n'):format(enum.name, enum.name)
    for _, value in ipairs(enum.values) do out[#out + 1] = ('    printf("    %s: %%d\\n", (int)%s);\n'):format(value.name, value.name) end
end

-- A program that prints the listing when it is compiled against api/.
function M.program(model)
    local out = {"#include <stdio.h>\n"}
    for _, header in ipairs(model.headers) do out[#out + 1] = ("#include <stave/%s>\n"):format(header.name) end
    out[#out + 1] = "int main(void)\n{\n    if (sizeof(void *) != 8) return 77;\n"
    for _, header in ipairs(model.headers) do
        for _, struct in ipairs(header.structs) do print_struct(model, struct, out) end
        for _, enum in ipairs(header.enums) do print_enum(enum, out) end
        print_constants(header, out)
        print_types(header, out)
    end
    out[#out + 1] = "    return 0;\n}\n"
    return table.concat(out)
end

-- ---- comparing -----------------------------------------------------------------------------------------------------

-- The blocks of a listing by their first words, with their entries in order and by name; and its lines of comment.
function M.parse(text)
    local blocks, order, remarks, block = {}, {}, {}, nil
    for line in text:gmatch("([^\n]*)\n") do
        local kind, name, rest = line:match("^(%l+) (%S+) ?(.*)$")
        local entry, value = line:match("^    (%S+): (.*)$")
        if line:match("^#") then
            remarks[#remarks + 1] = line
        elseif kind then
            block = {kind = kind, name = name, head = rest, entries = {}, values = {}}
            blocks[kind .. " " .. name] = block
            order[#order + 1] = kind .. " " .. name
        elseif entry and block then
            block.entries[#block.entries + 1] = entry
            block.values[entry] = value
        elseif line ~= "" then
            return nil, line
        end
    end
    return {blocks = blocks, order = order, remarks = remarks}
end

local Difference = {}
Difference.__index = Difference

function Difference:breaks(block, what)
    self.broken[#self.broken + 1] = {name = block.name, what = what}
end

function Difference:appends(what)
    self.appended[#self.appended + 1] = what
end

-- A member has its place: the first that differs tells what happened, those behind it only follow.
function Difference:struct(old, new)
    for i, name in ipairs(old.entries) do
        local now = new.entries[i]
        if now ~= name then
            local what = new.values[name] and ("stands before %s.%s, which must keep its place"):format(old.name, name)
                or ("stands where %s.%s was"):format(old.name, name)
            return self:breaks(old, now and ("%s.%s %s"):format(old.name, now, what) or ("%s.%s is gone"):format(old.name, name))
        end
        if new.values[name] ~= old.values[name] then
            return self:breaks(old, ("%s.%s was \"%s\", is \"%s\" (offset, size, type)"):format(old.name, name, old.values[name], new.values[name]))
        end
    end
    local old_size, old_growth = old.head:match("^(%d+) (%l+)$")
    local new_size, new_growth = new.head:match("^(%d+) (%l+)$")
    if new_growth ~= old_growth then self:breaks(old, ("%s grew by \"%s\", now by \"%s\""):format(old.name, old_growth, new_growth)) end
    local is_longer = #new.entries > #old.entries
    if new_size ~= old_size and (not is_longer or old_growth == "never") then
        self:breaks(old, ("%s had %s bytes, has %s, and may not grow"):format(old.name, old_size, new_size))
    end
    for i = #old.entries + 1, #new.entries do
        if old_growth == "never" then
            self:breaks(old, ("%s.%s is new, but %s may not grow"):format(old.name, new.entries[i], old.name))
        else
            self:appends(("%s.%s"):format(old.name, new.entries[i]))
        end
    end
end

-- Constants and types: each keeps its value, wherever it stands.
function Difference:names(old, new)
    if new.head ~= old.head then self:breaks(old, ("%s had \"%s\", has \"%s\" bytes"):format(old.name, old.head, new.head)) end
    for _, name in ipairs(old.entries) do
        if not new.values[name] then
            self:breaks(old, ("%s of %s is gone"):format(name, old.name))
        elseif new.values[name] ~= old.values[name] then
            self:breaks(old, ("%s of %s was %s, is %s"):format(name, old.name, old.values[name], new.values[name]))
        end
    end
    for _, name in ipairs(new.entries) do
        if not old.values[name] then self:appends(name) end
    end
end

-- What must not be (broken: name of the block, sentence) and what is new (appended).
function M.compare(old, new)
    local difference = setmetatable({broken = {}, appended = {}}, Difference)
    for _, key in ipairs(old.order) do
        local before, now = old.blocks[key], new.blocks[key]
        if not now then
            difference:breaks(before, key .. " is gone")
        elseif before.kind == "struct" then
            difference:struct(before, now)
        else
            difference:names(before, now)
        end
    end
    for _, key in ipairs(new.order) do
        if not old.blocks[key] then difference:appends(key) end
    end
    return difference
end

return M
