-- Last Activity (XEP-0012): since when an account is away, for contacts that see its presence; since when the host is up, for all.
local NS = "jabber:iq:last"
local FROM = 1            -- stave/roster.h: the contact sees the user's presence
local STATUS_BYTES = 1000 -- a longer status is not kept

sv.script {
    summary = "Last Activity (XEP-0012)",
    changes = {"iq-get/host", "iq-get/self", "iq-get/account", "presence/self", "session/gone"},
    stores = {"gone", "roster/items"},
    after = {"roster", "?blocking"},
    features = NS,
    account_features = NS,
}

local gone = sv.store "gone" -- localpart, "at": when its last session ended in seconds, a line feed, its status then
local roster = sv.store "roster/items"

local function answer(ev, seconds, status)
    return ev:reply {"query", xmlns = NS, seconds = math.max(seconds, 0), status}
end

sv.start(function() sv.self.up = (sv.saved() or {}).up or sv.now_s() end)
sv.save(function() return {up = sv.self.up} end)

-- `stores = false`: what does not write goes on while the disk is full.
sv.on("iq-get/host {" .. NS .. "}query", function(ev) return answer(ev, sv.now_s() - sv.self.up) end, {stores = false})
sv.on("iq-get/self {" .. NS .. "}query", function(ev) return answer(ev, 0) end, {stores = false}) -- whoever asks is there

-- Whoever may not know gets what an account that does not exist gives; so does everybody while the roster can't be read.
sv.on("iq-get/account {" .. NS .. "}query", function(ev)
    local account = ev:to()
    local contacts = roster:rows(account.node)
    local record = contacts and contacts:row(ev:from().bare)
    if not record or tonumber(record:sub(3, 4), 16) & FROM == 0 then return ev:refuse "service-unavailable" end
    if ev:session_next(account) then return answer(ev, 0) end
    local text, why = gone:get(account.node, "at")
    if not text then return ev:refuse(why == "notfound" and "item-not-found" or "internal-server-error") end
    local at, status = text:match "^(%d+)\n(.*)$"
    return answer(ev, sv.now_s() - tonumber(at), status)
end, {stores = false})

-- A session's last words, until it says something else. What has a `to` is said to one alone. `open`: presence goes on without this script, too.
sv.on("presence/self", function(ev)
    local session, presence = ev:session(), ev:root()
    if not session or presence:attr "to" then return end
    local status = ev:type() == "unavailable" and presence:text_of "status" or ""
    session:set_item("last-status", #status <= STATUS_BYTES and status or "")
end, {band = "early", open = true, stores = false})

sv.on("session/gone", function(ev)
    local account, session = ev:to(), ev:session()
    if ev:session_next(account) then return end -- another one is still there
    gone:put(account.node, "at", sv.now_s() .. "\n" .. (session and session:item "last-status" or ""))
end, {band = "first"}) -- while there is still a session to ask
