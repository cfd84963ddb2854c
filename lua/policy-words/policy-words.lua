-- Words and links: messages and subscription requests that hold a word or a domain of the lists are refused, dropped, or
-- tagged for the reader's client. The lists are options, and words.lua beside this file.
--
-- To change: LOOKED_AT says where text is sought; `is_exempt` says whose is not looked at; what becomes of a hit is in
-- `verdict`. What is encrypted from end to end can't be looked at: no server can.

local lists = require "words"

local NS_TAG = "urn:stave:policy-words:0"

sv.script {
    summary = "Refuses, drops or tags what holds certain words or links",
    changes = {"message/*", "presence/*"},
    policy = true,
}

sv.option {"words", kind = "list", manual = "Words that are looked for, besides those of words.lua."}
sv.option {"domains", kind = "list", manual = "Domains that are looked for with all below them, besides those of words.lua."}
sv.option {"only_domains", kind = "list",
           manual = "If there are any, links may lead to these domains and what is below them only."}
sv.option {"action", kind = "enum", words = "refuse drop tag", preset = "refuse",
           manual = "What becomes of a hit: the sender gets an error, or nothing, or it goes on with a mark."}
sv.option {"text", kind = "string", preset = "This server does not take this text.",
           manual = "What the sender of a refused message is told."}
sv.option {"max_bytes", kind = "size", preset = "16k", min = "1k", max = "32k",
           manual = "How much text is looked through; a message with more counts as a hit."}

local hits = sv.metric {"hits", kind = "counter", manual = "Stanzas that held a listed word or link."}

-- Children that hold text for people: "namespace name" of the element.
local LOOKED_AT = {
    ["jabber:client body"] = true,
    ["jabber:client subject"] = true,
    ["jabber:client status"] = true,                       -- of a subscription request
    ["http://jabber.org/protocol/nick nick"] = true,       -- XEP-0172
    ["http://jabber.org/protocol/xhtml-im html"] = true,   -- XEP-0071
    ["jabber:x:oob x"] = true,                             -- XEP-0066
    ["http://jabber.org/protocol/muc#user x"] = true,      -- XEP-0045: the reason of an invitation
    ["jabber:x:conference x"] = true,                      -- XEP-0249, the same
    ["urn:xmpp:sfs:0 file-sharing"] = true,                -- XEP-0447
    ["urn:xmpp:sfs:0 sources"] = true,
    ["urn:xmpp:reference:0 reference"] = true,             -- XEP-0372, XEP-0385
}

-- Attributes that lead somewhere, or are read.
local ATTRIBUTES = {"href", "src", "alt", "title", "reason", "target", "uri"}

-- Elements between which words end; others (b, span, ...) may stand in the middle of a word.
local BLOCKS = {p = true, div = true, br = true, li = true, ul = true, ol = true, blockquote = true, pre = true, h1 = true, h2 = true,
                h3 = true, h4 = true, h5 = true, h6 = true, url = true, desc = true, reason = true, invite = true, img = true, name = true, hash = true, size = true, date = true,
                ["media-type"] = true}

-- ---- folding ------------------------------------------------------------------------------------------------------

-- Texts and lists are compared in one simplified form: small letters without accents; letters of other scripts that look like
-- Latin ones, wide, circled and mathematical letters as Latin ones; what can't be seen taken out. Words that differ in such
-- things only are the same. Digits for letters ("cas1no") and blanks inside words are not undone.
local LETTERS = {
    a = "àáâãäåāăąǎǟǡǻȁȃȧạảấầẩẫậắằẳẵặªаαᴀ", b = "ḃḅʙ", c = "çćĉċčсϲᴄ", d = "ďđðḋḍԁᴅ",
    e = "èéêëēĕėęěȅȇẹẻẽếềểễệеёєεᴇ", f = "ḟƒ", g = "ĝğġģǧǵɡɢ", h = "ĥħḣḥһʜ", i = "ìíîïĩīĭįıǐȉȋỉịіїιɪ", j = "ĵјϳᴊ",
    k = "ķĸǩкκᴋ", l = "ĺļľŀłḷʟ", m = "ṁṃᴍ", n = "ñńņňŉṅṇɴ", o = "òóôõöøōŏőǒǫȍȏọỏốồổỗộớờởỡợơºоοσᴏ",
    p = "ṗрρᴘ", q = "ԛ", r = "ŕŗřȑȓṛʀ", s = "śŝşšșṡṣѕꜱ", t = "ţťŧțṫṭᴛ", u = "ùúûüũūŭůűųǔȕȗụủứừửữựưυᴜ", v = "ѵνᴠ",
    w = "ŵẁẃẅԝᴡ", x = "хχẋ", y = "ýÿŷỳỵỷỹуγʏ", z = "źżžẓᴢ", ss = "ßẞ", ae = "æǽ", oe = "œ", th = "þ",
}
local LARGE = {A = "ÀÁÂÃÄÅĀĂĄǍǞǠǺȀȂȦẠẢẤẦẨẪẬẮẰẲẴẶ", B = "ḂḄ", C = "ÇĆĈĊČϹ", D = "ĎĐÐḊḌ", E = "ÈÉÊËĒĔĖĘĚȄȆẸẺẼẾỀỂỄỆ", F = "ḞƑ",
               G = "ĜĞĠĢǦǴ", H = "ĤĦḢḤ", I = "ÌÍÎÏĨĪĬĮİǏȈȊỈỊ", J = "ĴͿ", K = "ĶǨ", L = "ĹĻĽĿŁḶ", M = "ṀṂ", N = "ÑŃŅŇṄṆ",
               O = "ÒÓÔÕÖØŌŎŐǑǪȌȎỌỎỐỒỔỖỘỚỜỞỠỢƠ", P = "Ṗ", R = "ŔŖŘȐȒṚ", S = "ŚŜŞŠȘṠṢ", T = "ŢŤŦȚṪṬ", U = "ÙÚÛÜŨŪŬŮŰŲǓȔȖỤỦỨỪỬỮỰƯ",
               W = "ŴẀẂẄ", X = "Ẋ", Y = "ÝŶŸỲỴỶỸ", Z = "ŹŻŽẒ", AE = "ÆǼ", OE = "Œ", TH = "Þ"}

local folded = {} -- code point -> text
for form, letters in pairs(LETTERS) do
    for _, c in utf8.codes(letters) do folded[c] = form end
end
for form, letters in pairs(LARGE) do
    for _, c in utf8.codes(letters) do folded[c] = form:lower() end
end

-- {first, last, what becomes of them}
local function small(step) return function(c) return folded[c + step] or utf8.char(c + step) end end
local function blank() return " " end
local function none() return "" end

local RANGES = {
    {0x00AD, 0x00AD, none}, {0x0300, 0x036F, none}, {0x061C, 0x061C, none}, {0x180E, 0x180E, none}, {0x200B, 0x200F, none},
    {0x202A, 0x202E, none}, {0x2060, 0x206F, none}, {0xFE00, 0xFE0F, none}, {0xFEFF, 0xFEFF, none},
    {0x0391, 0x03A9, small(32)}, {0x0400, 0x040F, small(80)}, {0x0410, 0x042F, small(32)}, {0x0531, 0x0556, small(48)},
    {0x03C2, 0x03C2, function() return folded[0x3C3] end},
    {0x24B6, 0x24CF, function(c) return string.char(97 + c - 0x24B6) end},                -- circled
    {0x24D0, 0x24E9, function(c) return string.char(97 + c - 0x24D0) end},
    {0xFF01, 0xFF5E, function(c) return string.char(c - 0xFEE0):lower() end},             -- wide
    {0x1D400, 0x1D6A3, function(c) return string.char(97 + (c - 0x1D400) % 26) end},      -- mathematical
    {0x1D7CE, 0x1D7FF, function(c) return string.char(48 + (c - 0x1D7CE) % 10) end},
    {0x3002, 0x3002, function() return "." end}, {0xFF61, 0xFF61, function() return "." end}, -- dots of domains (RFC 3490 3.1)
    {0x00A0, 0x00BF, blank}, {0x00D7, 0x00D7, blank}, {0x00F7, 0x00F7, blank}, {0x2000, 0x2BFF, blank}, {0x3000, 0x303F, blank},
    {0x1F000, 0x1FAFF, blank},
}

local function fold_code(c)
    if folded[c] then return folded[c] end
    for _, range in ipairs(RANGES) do
        if c >= range[1] and c <= range[2] then return range[3](c) end
    end
    return utf8.char(c)
end

-- Bounded: what texts bring in is forgotten when it is much.
local seen, seen_count = {}, 0

local function fold_char(char)
    local form = seen[char]
    if not form then
        form = fold_code(utf8.codepoint(char))
        if seen_count >= 4096 then seen, seen_count = {}, 0 end
        seen[char], seen_count = form, seen_count + 1
    end
    return form
end

local function fold(text)
    return (text:lower():gsub("[\xC2-\xF4][\x80-\xBF]+", fold_char))
end

-- "Buy  NOW!" is "buy now".
local function words_of(text)
    local words = {}
    for word in text:gmatch("[%w\x80-\xFF]+") do words[#words + 1] = word end
    return words
end

-- ---- the lists ----------------------------------------------------------------------------------------------------

local ENTRIES_MAX, ANYWHERE_MAX, PHRASE_MAX = 20000, 200, 8

local function joined(a, b)
    local all = table.move(a, 1, #a, 1, {})
    return table.move(b, 1, #b, #all + 1, all)
end

-- {phrases = {first word = {{"buy", "now"}, ...}}, begins = {word = entry}, anywhere = {...}}, or nil and why not.
local function index_words(entries)
    local index = {phrases = {}, begins = {}, anywhere = {}}
    for _, entry in ipairs(entries) do
        local words = words_of(fold(entry))
        if #words == 0 or #words > PHRASE_MAX then
            return nil, ("the entry \"%s\" has no letters, or more than %d words"):format(entry, PHRASE_MAX)
        elseif entry:find("*", 2, true) and entry:find("*", 2, true) < #entry or entry:find("^%*") and not entry:find("%*$") then
            return nil, ("the entry \"%s\": a star stands behind a word, or one on both sides"):format(entry)
        elseif entry:find("^%*") then
            index.anywhere[#index.anywhere + 1] = {table.concat(words, " "), entry}
        elseif entry:find("%*$") then
            if #words > 1 then return nil, ("the entry \"%s\": a star may only follow a single word"):format(entry) end
            index.begins[words[1]] = entry
        else
            words.entry = entry
            local first = words[1]
            index.phrases[first] = index.phrases[first] or {}
            table.insert(index.phrases[first], words)
        end
    end
    if #entries > ENTRIES_MAX or #index.anywhere > ANYWHERE_MAX then
        return nil, ("there are more than %d entries, or more than %d with a star on both sides"):format(ENTRIES_MAX, ANYWHERE_MAX)
    end
    return index
end

local function index_domains(entries)
    local index = {}
    for _, entry in ipairs(entries) do
        local domain = fold(entry):gsub("^%*?%.", ""):gsub("%.$", "")
        if not domain:find("^[%w\x80-\xFF%-%.]+$") then
            return nil, ("\"%s\" is no domain, such as example.org"):format(entry)
        end
        index[domain] = entry
    end
    return index
end

sv.start(function()
    local me = sv.self
    for field in pairs(lists) do
        if field ~= "words" and field ~= "domains" then return false, "words.lua has \"words\" and \"domains\", not \"" .. tostring(field) .. "\"" end
    end
    local words, why = index_words(joined(lists.words or {}, me.words))
    local domains, why_domains = index_domains(joined(lists.domains or {}, me.domains))
    local only, why_only = index_domains(me.only_domains)
    if not (words and domains and only) then return false, (why or why_domains or why_only) end
    me.index, me.listed, me.allowed = words, domains, #me.only_domains > 0 and only or nil
end)

-- ---- looking ------------------------------------------------------------------------------------------------------

local function is_phrase(phrase, words, at)
    for i = 2, #phrase do
        if words[at + i - 1] ~= phrase[i] then return false end
    end
    return true
end

-- The entry that is in the text, or nil.
local function find_word(index, text)
    local words = words_of(text)
    for at, word in ipairs(words) do
        for _, phrase in ipairs(index.phrases[word] or {}) do
            if is_phrase(phrase, words, at) then return phrase.entry end
        end
        if next(index.begins) then
            for n = 1, math.min(#word, 64) do
                local entry = index.begins[word:sub(1, n)]
                if entry then return entry end
            end
        end
    end
    if #index.anywhere == 0 then return nil end
    local whole = table.concat(words, " ")
    for _, entry in ipairs(index.anywhere) do
        if whole:find(entry[1], 1, true) then return entry[2] end
    end
end

-- The entry that stands for the domain: its own, or that of one above it. Of what is longer than a domain may be, the end counts.
local DOMAIN_MAX = 512

local function listed_as(list, domain)
    local from = 1
    domain = domain:sub(-DOMAIN_MAX)
    while true do
        local entry = list[domain:sub(from)]
        local dot = domain:find(".", from, true)
        if entry or not dot then return entry end
        from = dot + 1
    end
end

-- Not by "%.+$": that begins anew at each dot of a text that is nothing but dots, until it has taken too many steps.
local function without_last_dots(domain)
    local last = #domain
    while domain:byte(last) == 46 do last = last - 1 end
    return domain:sub(1, last)
end

-- A domain counts wherever it stands, with a scheme or without.
local function find_domain(listed, text)
    if not next(listed) or not text:find(".", 1, true) then return nil end
    for token in text:gmatch("[%w\x80-\xFF%-%.]+") do
        local entry = token:find(".", 1, true) and listed_as(listed, without_last_dots(token:gsub("^%.+", "")))
        if entry then return entry end
    end
end

-- A link to somewhere that is not on the list of those that are allowed.
local function find_foreign(allowed, text)
    if not allowed then return nil end
    for _, pattern in ipairs {"://([^%s/?#\"'<>\\]+)", "%f[%w](www%.[^%s/?#\"'<>\\]+)"} do
        for host in text:gmatch(pattern) do
            host = without_last_dots(host:gsub("^.*@", ""):gsub(":%d*$", ""))
            if not listed_as(allowed, host) then return host end
        end
    end
end

local function decode(hex) return string.char(tonumber(hex, 16)) end

-- Adds the text of a literal in reading order to `parts`.
local function collect(literal, parts)
    local apart = BLOCKS[literal[1]] and " " or ""
    parts[#parts + 1] = apart
    for _, name in ipairs(ATTRIBUTES) do
        if literal[name] and not literal[name]:find("^data:") then parts[#parts + 1] = " " .. literal[name] .. " " end
    end
    for i = 2, #literal do
        if type(literal[i]) == "table" then
            collect(literal[i], parts)
        else
            parts[#parts + 1] = literal[i]
        end
    end
    parts[#parts + 1] = apart
end

local function text_of(root)
    local parts = {}
    for child in root:children() do
        if LOOKED_AT[child:ns() .. " " .. child:name()] then
            collect(child:table(), parts)
            parts[#parts + 1] = "\n"
        end
    end
    return table.concat(parts)
end

-- What is wrong with the stanza: the entry that it holds; nil if nothing is.
local function look(me, root)
    local text = text_of(root)
    if #text > me.max_bytes then return "(too long)" end
    if text == "" then return nil end
    local form = fold(text)
    local links = form:gsub("%%(%x%x)", decode)
    return find_word(me.index, form) or find_domain(me.listed, links) or find_foreign(me.allowed, links)
end

-- ---- what becomes of it -------------------------------------------------------------------------------------------

-- The log has the entry, never the text; so many lines a minute, the metric counts all.
local LINES_MAX = 60

local function tell(ev, entry)
    local me, from, to, minute = sv.self, ev:from(), ev:to(), sv.now_s() // 60
    if me.minute ~= minute then me.minute, me.lines = minute, 0 end
    me.lines = me.lines + 1
    if me.lines > LINES_MAX then return end
    sv.log("info", "words-hit", {sender = from and from.bare, recipient = to and to.bare, entry = entry, action = me.action})
end

local function verdict(ev, entry)
    local me = sv.self
    hits:add(1)
    tell(ev, entry)
    if me.action == "drop" then return ev:drop("words") end
    if me.action == "refuse" then return ev:refuse("policy-violation", me.text) end
    ev:replace(ev:with_child(ev:stanza(), {"flagged", xmlns = NS_TAG, by = sv.host()}))
end

local function is_exempt(ev, from) return ev:is_admin(from) end

local function on_stanza(ev)
    if ev:type() == "error" then return end
    local from = ev:from()
    if is_exempt(ev, from) then return end
    local entry = look(sv.self, ev:root())
    if entry then return verdict(ev, entry) end
end

-- What an account of this server sends was looked at when it went out.
local function on_remote(ev)
    local from = ev:from()
    if from and not ev:is_local(from) then return on_stanza(ev) end
end

local function only_requests(handler)
    return function(ev)
        if ev:type() == "subscribe" then return handler(ev) end
    end
end

-- Messages are guarded: while this module is in quarantine they are refused, not let through unseen. Subscription requests go
-- through then, since a guard would stop all presence with them.
sv.on("message/out", on_stanza, {band = "early", guard = true})
sv.on("presence/out", only_requests(on_stanza), {band = "early", open = true})
for _, scope in ipairs {"account", "resource", "host", "nobody"} do
    sv.on("message/" .. scope, on_remote, {band = "early", guard = true})
end
for _, scope in ipairs {"account", "resource", "nobody"} do
    sv.on("presence/" .. scope, only_requests(on_remote), {band = "early", open = true})
end
