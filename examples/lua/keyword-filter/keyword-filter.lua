-- keyword-filter.lua: messages with a word of a list are refused, or go on with a mark; `stave keyword counts` tells how often.
--
-- It shows a policy: a function that looks at what others send and gives a verdict, or none, so that the message passes. Since
-- `policy = true`, a changed copy can be tried beside the one that decides (`stave policy shadow`).
-- To change it: `words_of` says what is a word, `fold` which letters are the same, `verdict` what becomes of a message.

sv.script {
    summary = "Refuses or marks messages with certain words",
    changes = {"message/out"}, -- what accounts of this host send to others
    policy = true,
}

sv.option {"words", kind = "list", manual = "Words that are looked for, in any case; a word each."}
sv.option {"action", kind = "enum", words = "refuse tag", preset = "refuse",
           manual = "What becomes of a message with such a word: the sender gets an error, or it goes on with a mark."}
sv.option {"text", kind = "string", preset = "This server does not take this word: $word.",
           manual = "What the sender of a refused message is told; $word is replaced."}

local NS_MARK = "urn:example:keyword-filter"
local found = sv.metric {"found", kind = "counter", manual = "Messages with a word of the list."}

-- string.lower knows the letters a to z. These are Latin, Greek and Cyrillic capitals in UTF-8: {first, last, how far the small ones are}.
local CAPITALS = {{0xC0, 0xD6, 32}, {0xD8, 0xDE, 32}, {0x391, 0x3A9, 32}, {0x400, 0x40F, 80}, {0x410, 0x42F, 32}}

local function small(letter)
    local c = utf8.codepoint(letter)
    for _, range in ipairs(CAPITALS) do
        if c >= range[1] and c <= range[2] then return utf8.char(c + range[3]) end
    end
end

local function fold(text)
    return (text:lower():gsub("[\xC3\xCE\xCF\xD0][\x80-\xBF]", small))
end

-- Letters, digits and all that is not ASCII; whatever else stands between words.
local function words_of(text)
    return fold(text):gmatch("[%w\x80-\xFF]+")
end

-- The list as a table, word -> how often it was found: looking a word up takes as long in a list of ten thousand. What a reload
-- carries over counts on.
sv.start(function()
    local saved = sv.saved() or {}
    sv.self.count = {}
    if #sv.self.words > 10000 then return false, "keyword_filter_words has more than 10000 words" end
    for _, entry in ipairs(sv.self.words) do
        local word, second = words_of(entry)(), nil
        for other in words_of(entry) do
            if other ~= word then second = other end
        end
        if not word or second then return false, ("keyword_filter_words: \"%s\" is not one word"):format(entry) end
        sv.self.count[word] = saved[word] or 0
    end
end)
sv.save(function() return sv.self.count end)

-- The first word of the list in the message's texts, or nil. A message may have several bodies, one a language.
local function listed_word(ev)
    for child in ev:root():children() do
        if child:name() == "body" or child:name() == "subject" then
            for word in words_of(child:text()) do
                if sv.self.count[word] then return word end
            end
        end
    end
end

local function verdict(ev, word)
    if sv.self.action == "tag" then
        return ev:replace(ev:with_child(ev:stanza(), {"found", xmlns = NS_MARK, word = word})) -- and the message goes on
    end
    return ev:refuse("policy-violation", (sv.self.text:gsub("$word", {["$word"] = word})))
end

-- It is a guard: a message on which this function fails is refused, not let through.
sv.on("message/out", function(ev)
    if ev:type() == "error" or ev:is_admin(ev:from()) then return end
    local word = listed_word(ev)
    if not word then return end
    sv.self.count[word] = sv.self.count[word] + 1
    found:add(1)
    return verdict(ev, word)
end, {band = "early", guard = true})

sv.command {"keyword counts", summary = "how often the words of the list were found", examples = "keyword counts --host example.org",
    manual = "Since the server has started; a word that is taken out of the list is forgotten.",
    args = {{"host", kind = "host", option = true, manual = "on which host, if several look for words"}},
    columns = {{"word"}, {"messages", kind = "int"}},
    run = function(ev)
        local rows = {}
        for word, messages in pairs(sv.self.count) do rows[#rows + 1] = {word = word, messages = messages} end
        table.sort(rows, function(a, b) return a.messages > b.messages or a.messages == b.messages and a.word < b.word end)
        return ev:answer(rows)
    end}
