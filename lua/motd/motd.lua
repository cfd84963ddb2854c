-- Message of the day: each account gets the text once, when one of its sessions becomes available.
sv.script {summary = "Message of the day", changes = {"session/presence"}, stores = {"texts"}, sends = {"host"}}

local HOST = "/host"            -- who has the text itself; no account is called so
local texts = sv.store("texts") -- HOST, "text" -> "SINCE TEXT"; account, "seen" -> SINCE of the text that it has got

local function take(row)
    local since, text = (row or ""):match("^(%d+) (.+)$")
    sv.self.since, sv.self.text = since, text or false
end

local function current()
    if sv.self.text == nil then
        local row = texts:get(HOST, "text")
        if sv.self.text == nil then take(row) end -- nobody set another one while this waited
    end
    return sv.self.since, sv.self.text
end

-- Sessions that come at once must not all get it before the first has noted that it did.
local function is_given(ev, since)
    local session = ev:session_next(ev:from())
    while session do
        if session:item("motd") == since then return true end
        session = ev:session_next(ev:from(), session)
    end
end

sv.on("session/presence", function(ev)
    local since, text = current()
    local session, account = ev:session(), ev:from()
    if not text or not session or not session:presence() or session:priority() < 0 or is_given(ev, since) then return end
    session:set_item("motd", since)
    if texts:get(account.node, "seen") == since then return end
    if ev:is_guest(account) or texts:put(account.node, "seen", since) then
        ev:route {"message", to = account.bare, {"body", text}} -- is kept if the session has gone meanwhile
    end
end)

local host = {"host", kind = "host", option = true, manual = "on which host, if several have messages of the day"}

sv.command {"motd set", summary = "give each account a message when it next comes on line",
    manual = "It takes the place of the one that was set before. \\n in the text begins a new line.",
    examples = "motd set The server moves on Sunday, from 10 to 11.", changes = true, stores = true,
    args = {{"text", kind = "string", required = true, rest = true, manual = "the text"}, host},
    run = function(ev)
        if not ev:arg_text("text"):find("%S") then return ev:fail("usage", "the text is empty: `stave motd clear` takes one away") end
        local row = ("%d %s"):format(sv.now_ms(), (ev:arg_text("text"):gsub("\\n", "\n")))
        if not texts:put(HOST, "text", row) then return ev:fail("failed", "the text can't be stored: use a shorter one") end
        take(row)
        return ev:answer()
    end}

sv.command {"motd show", summary = "the message of the day", one = true, args = {host},
    columns = {{"since", kind = "time"}, {"text"}},
    run = function(ev)
        local since, text = current()
        if not text then return ev:fail("not-found", "there is no message of the day: `stave motd set` gives one") end
        return ev:answer {{since = math.tointeger(since), text = text}}
    end}

sv.command {"motd clear", summary = "take the message of the day away", changes = true, args = {host},
    run = function(ev)
        texts:del(HOST, "text")
        take(nil)
        return ev:answer()
    end}
