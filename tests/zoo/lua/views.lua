-- Keeps what is valid for one handler only, and uses it in the next.
local NS = "urn:stave:beast"
sv.script {summary = "uses views when their time is over", changes = {"iq-set/host"}}

local old
local uses = {
    event = function() return old.event:type() end,
    verdict = function() return old.event:reply() end,
    stanza = function() return old.stanza:root() end,
    node = function() return old.node:attr("what") end,
    literal = function(ev) return ev:reply {"done", xmlns = NS, old.node} end,
    session = function() return old.session:jid() end,
    iterator = function() return old.children() end,
    kept = function(ev) return ev:reply {"done", xmlns = NS, value = old.kept:root():name()} end,
}

sv.on("iq-set/host {" .. NS .. "}do", function(ev)
    local use = uses[ev:payload():attr("what")]
    if use then return use(ev) end
    old = {
        event = ev,
        stanza = ev:stanza(),
        node = ev:payload(),
        session = ev:session(),
        children = ev:root():children(),
        kept = ev:stanza():keep(),
    }
    return ev:reply {"done", xmlns = NS}
end)
