-- @NAME@: a note of each account, which it writes and which others may read.
--
-- A client sets its own with <iq type='set'><note xmlns='urn:example:@NAME@'>text</note></iq> and asks for
-- another's with <iq type='get' to='romeo@example.org'><note xmlns='urn:example:@NAME@'/></iq>.
local NS = "urn:example:@NAME@"

-- What the script may do: it has no other rights.
sv.script {
    summary = "A note of each account",
    changes = {"iq-set/self", "iq-get/self", "iq-get/account"},
    stores = {"texts"},
    account_features = NS,
}
sv.option {"length", kind = "int", preset = "200", min = "1", max = "2000", manual = "The longest note, in characters."}
local texts = sv.store "texts" -- localpart, "note" -> the text

-- A user writes the own note. The answer leaves when the note is on disk.
sv.on("iq-set/self {" .. NS .. "}note", function(ev)
    local text = ev:payload():text()
    local kept, why = nil, "it is too long"
    if utf8.len(text) <= sv.self.length then kept, why = texts:put(ev:from().node, "note", text) end
    if not kept then return ev:refuse("not-acceptable", "The note is not kept: " .. why) end -- "denied" for guests
    return ev:reply()
end)

-- Somebody asks for the note of an account. `get` waits; other events go on meanwhile.
local function tell(ev)
    local text, why = texts:get(ev:to().node, "note")
    if not text then return ev:refuse(why == "notfound" and "item-not-found" or "internal-server-error") end
    return ev:reply {"note", xmlns = NS, text}
end
sv.on("iq-get/self {" .. NS .. "}note", tell, {stores = false})
sv.on("iq-get/account {" .. NS .. "}note", tell, {stores = false})
