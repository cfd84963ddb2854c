--[[ Reads the headers of api/: structs with their members, enums, constants, functions, and the comments that belong to them.

It knows the form that the house style gives C; what it can't read is a fault with file and line, never left out. ]]
local M = {}

-- The text with comments and directives as blanks, and both as lists; strings stay, since they hold no braces here.
local function mask(text)
    local bare, comments, directives, at = {}, {}, {}, 1
    local function blank(part) return (part:gsub("[^\n]", " ")) end
    while at <= #text do
        local two = text:sub(at, at + 1)
        local last
        if two == "/*" then
            last = select(2, text:find("*/", at + 2, true)) or #text
            comments[#comments + 1] = {first = at, last = last, text = text:sub(at + 2, last - 2)}
        elseif text:find("^#", at) and (at == 1 or text:find("^\n", at - 1)) then
            last = at
            repeat
                local stop = text:find("\n", last, true) or #text + 1
                local more = text:sub(stop - 1, stop - 1) == "\\"
                last = more and stop + 1 or stop - 1
            until not more
            local whole = text:sub(at, last)
            local remark = whole:find("/%*")
            if remark and not whole:find("\\\n") then last = at + remark - 2 end
            directives[#directives + 1] = {first = at, last = last, text = text:sub(at, last)}
        elseif text:sub(at, at) == '"' then
            local stop = at + 1
            while text:sub(stop, stop) ~= '"' do stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1) end
            bare[#bare + 1] = text:sub(at, stop)
            at = stop + 1
        end
        if last then
            bare[#bare + 1] = blank(text:sub(at, last))
            at = last + 1
        elseif at <= #text then
            bare[#bare + 1] = text:sub(at, at)
            at = at + 1
        end
    end
    return table.concat(bare), comments, directives
end

local Header = {}
Header.__index = Header

-- By halving: the first line that begins behind `offset` is the next one.
function Header:line_of(offset)
    local low, high = 1, #self.starts + 1
    while high - low > 1 do
        local middle = (low + high) // 2
        if self.starts[middle] <= offset then low = middle else high = middle end
    end
    return low
end

-- Whether something stands before it on its line.
function Header:is_beside(offset)
    return self.text:sub(self.starts[self:line_of(offset)], offset - 1):find("%S") ~= nil
end

function Header:fault(offset, what)
    error({file = self.path, line = self:line_of(offset), what = what})
end

-- The words of a comment without its frame.
function M.words(comment)
    local words = comment:gsub("\n%s*%*", "\n"):gsub("^%s+", ""):gsub("%s+$", "")
    return (words:gsub("[ \t]*\n[ \t]*", "\n"))
end

-- The comment that ends last before `offset` with nothing but blanks and at most one line break between.
function Header:comment_above(offset)
    for i = #self.comments, 1, -1 do
        local comment = self.comments[i]
        if comment.last < offset then
            local between = self.text:sub(comment.last + 1, offset - 1)
            local is_near = between:match("^%s*$") and not between:find("\n%s*\n")
            return is_near and not comment.is_beside and comment or nil
        end
    end
end

-- The comment on the line behind `offset`.
function Header:comment_beside(offset)
    for _, comment in ipairs(self.comments) do
        if comment.first > offset then
            return self.text:sub(offset + 1, comment.first - 1):match("^[ \t]*\n?[ \t]*$")
                and not self.text:sub(offset + 1, comment.first - 1):find("\n") and comment or nil
        end
    end
end

-- "const char *min, *max" as {name, type} pairs; a function as one with its parameters.
local function declared(statement)
    local text = statement:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
    local result, name, params = text:match("^(.-)%(%s*%*%s*([%w_]+)%s*%)%s*(%b())$")
    if name then
        return {{name = name, type = (result:gsub(" $", "")) .. " (*)" .. params, result = (result:gsub(" $", "")), params = params}}
    end
    local list, base = {}, nil
    for part in (text .. ","):gmatch("([^,]*),") do
        local array = part:match("%[[%w_]*%]%s*$") or ""
        local before, stars, word = part:sub(1, #part - #array):match("^%s*(.-)%s*(%**)([%a_][%w_]*)%s*$")
        if not word then return nil end
        base = base or before
        if base == "" or (#list > 0 and before ~= "") then return nil end
        list[#list + 1] = {name = word, type = base .. (stars ~= "" and " " .. stars or "") .. array}
    end
    return list
end

-- Parameters of "(sv_event *ev, sv_str name)" as {name, type} pairs.
local function parameters(params)
    local list = {}
    local inside = params:sub(2, -2)
    if inside:match("^%s*void%s*$") then return list end
    for part in (inside .. ","):gmatch("([^,]*),") do
        if part:match("^%s*%.%.%.%s*$") then
            list[#list + 1] = {name = "...", type = "..."}
        else
            local pairs_of = declared(part)
            if not pairs_of then return nil end
            list[#list + 1] = pairs_of[1]
        end
    end
    return list
end

function Header:read_members(struct, first, last)
    local at, section, shared = first, nil, nil
    while true do
        local stop = self.bare:find(";", at, true)
        if not stop or stop > last then break end
        local start = self.bare:find("%S", at)
        local between = self.text:sub(at, start - 1)
        for title in between:gmatch("/%* %-%- (.-) %-%- %*/") do section, shared = title, nil end
        for _, comment in ipairs(self.comments) do
            if comment.first >= at and comment.first < start and not comment.text:match("^ %-%- ") then
                if not comment.is_beside then shared = {comment = comment, members = {}} end
            end
        end
        if between:find("\n[ \t]*\n%s*$") then shared = nil end
        if struct.name ~= "sv_api" and shared and #shared.members > 0 then shared = nil end -- only there comments are shared
        local members = declared(self.bare:sub(start, stop - 1))
        if not members then self:fault(start, "this member can't be read; write it as the house style has it") end
        local beside = self:comment_beside(stop)
        for _, member in ipairs(members) do
            member.line, member.section = self:line_of(start), section
            if member.params then
                member.parameters = parameters(member.params)
                if not member.parameters then self:fault(start, "these parameters can't be read") end
            end
            local above = shared and shared.comment
            member.comment = above and M.words(above.text) or beside and M.words(beside.text) or nil
            member.beside = above and beside and M.words(beside.text) or nil
            if above then
                shared.members[#shared.members + 1] = member.name
                member.group = shared.members
            end
            struct.members[#struct.members + 1] = member
        end
        at = stop + 1
    end
end

function Header:read_structs()
    local at = 1
    while true do
        local first, last, name, body, alias = self.bare:find("typedef%s+struct%s+([%w_]+)%s*(%b{})%s*([%w_]+)%s*;", at)
        if not first then break end
        if name ~= alias then self:fault(first, "struct " .. name .. " is called " .. alias) end
        local comment = self:comment_above(first)
        local struct = {name = name, line = self:line_of(first), members = {}, header = self,
                        comment = comment and M.words(comment.text)}
        local open = self.bare:find("{", first, true)
        self:read_members(struct, open + 1, open + #body - 2)
        self.structs[#self.structs + 1] = struct
        at = last + 1
    end
end

function Header:read_enums()
    for first, name, body in self.bare:gmatch("()typedef%s+enum%s+([%w_]+)%s*(%b{})") do
        local enum = {name = name, line = self:line_of(first), values = {}, header = self}
        for constant, value in body:gmatch("([%a_][%w_]*)%s*=%s*(%-?%d+)") do
            enum.values[#enum.values + 1] = {name = constant, value = tonumber(value)}
        end
        local _, commas = body:gsub(",", "")
        if commas + 1 ~= #enum.values and commas ~= #enum.values then
            self:fault(first, "each constant of an enum has its value written out")
        end
        self.enums[#self.enums + 1] = enum
    end
end

-- #define NAME VALUE, without those of functions and of code.
function Header:read_constants()
    for _, directive in ipairs(self.directives) do
        local name, value = directive.text:match("^#%s*define%s+([%w_]+)%s+(.-)%s*$")
        if name then
            value = value:gsub("\\\n", " "):gsub("/%*.-%*/", ""):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
            local is_number = value:match("^%d+u?$") or value:match("^0x%x+u?$")
            local is_text = value:match('^"[^"]*"$')
            if is_number or is_text then
                local comment = self:comment_above(directive.first) or self:comment_beside(directive.last)
                self.constants[#self.constants + 1] = {name = name, value = value, is_text = is_text ~= nil, header = self,
                    line = self:line_of(directive.first), comment = comment and M.words(comment.text)}
            end
        end
    end
end

-- typedef RESULT (*NAME)(...); and typedef TYPE NAME;
function Header:read_types()
    for result, name, params in self.bare:gmatch("typedef%s+([%w_%s%*]-)%(%s*%*%s*([%w_]+)%s*%)%s*(%b())%s*;") do
        self.types[#self.types + 1] = {name = name, result = (result:gsub("%s+$", ""):gsub("%s+", " ")), parameters = parameters(params)}
    end
    for base, name in self.bare:gmatch("typedef%s+([%l%d_]+)%s+([%w_]+)%s*;") do
        self.types[#self.types + 1] = {name = name, base = base}
    end
end

function Header:read_functions()
    for first, result, name, params, body in self.bare:gmatch("()static%s+inline%s+([%w_%s%*]-)([%w_]+)%s*(%b())%s*(%b{})") do
        local comment = self:comment_above(first)
        self.functions[#self.functions + 1] = {name = name, line = self:line_of(first), header = self, body = body,
            prototype = (result:gsub("%s+", " ") .. name .. params):gsub("%s+", " "), comment = comment and M.words(comment.text)}
    end
end

-- path: as faults and pages name it; a header's text.
function M.read(path, text)
    local header = setmetatable({path = path, text = text, structs = {}, enums = {}, constants = {}, functions = {}, types = {}}, Header)
    header.starts = {1}
    for stop in text:gmatch("\n()") do header.starts[#header.starts + 1] = stop end
    header.bare, header.comments, header.directives = mask(text)
    for _, comment in ipairs(header.comments) do comment.is_beside = header:is_beside(comment.first) end
    header.name = path:match("[^/]+$")
    header.comment = header.comments[1] and M.words(header.comments[1].text) or ""
    header:read_structs()
    header:read_enums()
    header:read_constants()
    header:read_types()
    header:read_functions()
    return header
end

return M
