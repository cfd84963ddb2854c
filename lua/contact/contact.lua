-- Contact Addresses (XEP-0157): whom to turn to, in what the host tells of itself.
local KINDS = {
    {"abuse", "for complaints of abuse"},
    {"admin", "of those who run the server"},
    {"feedback", "for what users think of it"},
    {"sales", "for customers"},
    {"security", "for reports of security faults"},
    {"status", "where it is told whether the service works"},
    {"support", "for help"},
}

sv.script {summary = "Contact Addresses (XEP-0157)", changes = "disco/host", after = "disco"}
for _, kind in ipairs(KINDS) do
    sv.option {kind[1], kind = "list", form = "uri", manual = "URIs " .. kind[2] .. ", told to whoever asks the host (XEP-0157)."}
end

sv.on("disco/host", function(ev)
    if ev:subject() ~= "" then return end -- somebody asks for a node
    local form = {"x", xmlns = "jabber:x:data", type = "result",
                  {"field", var = "FORM_TYPE", type = "hidden", {"value", "http://jabber.org/network/serverinfo"}}}
    for _, kind in ipairs(KINDS) do
        local field = {"field", var = kind[1] .. "-addresses", type = "list-multi"}
        for _, uri in ipairs(sv.self[kind[1]]) do field[#field + 1] = {"value", uri} end
        if #field > 1 then form[#form + 1] = field end
    end
    if #form > 2 then ev:offer(ev:stanza_bytes(form)) end
end)
