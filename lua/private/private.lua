-- Private XML Storage (XEP-0049): one element for each namespace, which only the account itself stores and reads.
local NS = "jabber:iq:private"
local NS_BYTES = 1000 -- of a namespace; a key of a store is up to 3071 bytes long

sv.script {summary = "Private XML Storage (XEP-0049)", changes = {"iq-get/self", "iq-set/self"}, stores = "elements", features = NS}
sv.option {"max", kind = "size", preset = "64k", min = "1k", max = "1M", manual = "What an account may store in all."}

local elements = sv.store "elements" -- localpart, namespace: the <query/> as it is answered

-- The element that is asked for or stored; or nil and the condition that refuses it.
local function wanted(ev)
    local first = ev:payload():first()
    local ns = first and first:ns() or ""
    local is_reserved = ns == "vcard-temp" or ns:find "^jabber:" or ns:find "^http://jabber%.org/"
    if ns == "" or #ns > NS_BYTES or is_reserved then return nil, "not-acceptable" end
    if ev:payload():next(first) then return nil, "bad-request" end
    return first
end

sv.on("iq-get/self {" .. NS .. "}query", function(ev)
    local element, condition = wanted(ev)
    if not element then return ev:refuse(condition) end
    local text, why = elements:get(ev:from().node, element:ns())
    if not text and why ~= "notfound" then return ev:refuse "internal-server-error" end
    return ev:reply(text and assert(ev:stanza_parse(text)) or ev:payload())
end, {stores = false}) -- so it is asked while the disk is full, too

sv.on("iq-set/self {" .. NS .. "}query", function(ev)
    local owner, element, condition = ev:from(), wanted(ev)
    if ev:is_guest(owner) then return ev:refuse "not-allowed" end -- XEP-0175 3
    if not element then return ev:refuse(condition) end
    local rows, text = elements:rows(owner.node), ev:stanza_bytes {"query", xmlns = NS, element}
    if not rows then return ev:refuse "internal-server-error" end
    local bytes = rows:bytes() - #(rows:row(element:ns()) or "") + #text
    if bytes > sv.self.max or not elements:put(owner.node, element:ns(), text) then
        return ev:refuse("resource-constraint", "The private storage is full")
    end
    return ev:reply()
end)
