-- notes.lua: each account keeps one small text on the server, on all its devices, until it expires.
--
--     <iq type='set' id='1'><note xmlns='urn:example:notes'>Milk, bread</note></iq>      an empty one takes the note away
--     <iq type='get' id='2'><note xmlns='urn:example:notes'/></iq>
--
-- It shows the parts that most modules have: what the module is and may do, options, a store, requests and their answers, a timer.
-- To change it: give the file, its folder and NS names of your own; the two `sv.on` are what it does, the rest is what they need.

local NS = "urn:example:notes"

-- What it is and what it may do. What is not named here it can't do: an attempt raises an error.
sv.script {
    summary = "A note that each account keeps for a while",
    account_features = NS,                   -- told by service discovery of each account
    changes = {"iq-get/self", "iq-set/self"}, -- requests of an account to itself
    stores = {"texts"},
}

-- `notes_bytes` and `notes_keep` of the configuration; here they are sv.self.bytes and sv.self.keep.
sv.option {"bytes", kind = "int", preset = 1000, min = 1, max = 10000, manual = "The longest note, in bytes."}
sv.option {"keep", kind = "period", preset = "7d", min = "1m", max = "365d", manual = "How long a note is kept."}

local texts = sv.store("texts") -- account -> "EXPIRES TEXT"; the time is in milliseconds since 1970

-- When the note of a row expires, and its text.
local function read(row)
    local expires, text = row:match("^(%d+) (.*)$")
    return tonumber(expires), text
end

sv.on("iq-set/self {urn:example:notes}note", function(ev)
    local account, text = ev:from().node, ev:payload():text()
    if #text > sv.self.bytes then
        return ev:refuse("not-acceptable", ("A note has %d bytes at most; this one has %d."):format(sv.self.bytes, #text))
    end
    local done, why
    if text == "" then
        done, why = texts:del(account)
    else
        done, why = texts:put(account, nil, ("%d %s"):format(sv.now_ms() + sv.self.keep, text))
    end
    if not done then return ev:refuse("not-allowed", "The note is not kept: " .. why) end -- "denied" for guests
    return ev:reply() -- leaves when the note is on disk
end)

-- It writes nothing (`stores = false`), so that notes can be read while the disk is full.
sv.on("iq-get/self {urn:example:notes}note", function(ev)
    local row, why = texts:get(ev:from().node) -- waits; other events go on meanwhile
    if not row and why ~= "notfound" then return ev:refuse("internal-server-error") end
    local expires, text = read(row or "0 ")
    if expires <= sv.now_ms() then return ev:refuse("item-not-found", "There is no note.") end
    return ev:reply {"note", xmlns = NS, expires = ev:stamp(expires), text}
end, {stores = false})

-- Notes that have expired go: a hundred accounts are looked at in a minute, and behind the last the first.
sv.every(60000, function()
    local names, more = sv.accounts(sv.self.looked_at, 100)
    if not names then return end -- the host is just going, or a read failed: the next time
    local gone = 0
    for _, name in ipairs(names) do
        local row = texts:get(name)
        if row and read(row) <= sv.now_ms() and texts:del(name) then gone = gone + 1 end
    end
    sv.self.looked_at = more and names[#names] or nil
    if gone > 0 then sv.log("info", "notes-expired", {count = gone}) end
end)
