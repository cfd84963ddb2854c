-- Invitations and requests from strangers: to rooms (XEP-0045 7.8.2, XEP-0249), and for subscriptions, whose texts are what
-- such requests are misused for. A stranger is who is not in the account's roster.
--
-- To change: `is_known` says who is no stranger, INVITES how an invitation is told, KEPT what a stripped request keeps.

sv.script {
    summary = "Invitations to rooms, and subscription requests, from strangers",
    changes = {"message/account", "message/resource", "message/nobody", "presence/account"},
    stores = {"roster/items"},
    after = "?roster",
    policy = true,
}

sv.option {"rooms", kind = "enum", words = "refuse drop pass", preset = "refuse",
           manual = "What becomes of a stranger's invitation to a room: an error, nothing, or it is taken."}
sv.option {"requests", kind = "enum", words = "strip drop pass", preset = "strip",
           manual = "What becomes of a stranger's subscription request: it comes without text, not at all, or as it is."}
sv.option {"requests_per_day", kind = "int", preset = 20, min = 1, max = 100000,
           manual = "How many strangers' requests an account gets on a day (UTC); further ones are dropped."}
sv.option {"trust_local", kind = "bool", preset = "false",
           manual = "Whether accounts of this server are no strangers to each other."}
sv.option {"text", kind = "string", preset = "I take invitations of my contacts only.",
           manual = "What a stranger is told whose invitation is refused."}

local items = sv.store "roster/items" -- <stave/roster.h>

local invitations = sv.metric {"invitations", kind = "counter", manual = "Strangers' invitations that were refused or dropped."}
local requests = sv.metric {"requests", kind = "counter", manual = "Strangers' subscription requests that were stripped or dropped."}

-- ---- who is known -------------------------------------------------------------------------------------------------

-- Bits of a record: FROM, TO, PENDING_OUT, LISTED, SHARED.
local OF_A_CONTACT = 1 + 2 + 4 + 32 + 64

local function is_contact(node, bare)
    local record = items:get(node, bare)
    local bits = record and tonumber(record:sub(3, 4), 16)
    return bits ~= nil and bits & OF_A_CONTACT ~= 0
end

local function is_known(ev, who, to)
    if not who then return false end
    if who.bare == to.bare or ev:is_guest(to) or ev:is_admin(who) or not who.node and who.domain == sv.host() then return true end
    if sv.self.trust_local and ev:is_local(who) then return true end
    return is_contact(to.node, who.bare)
end

-- ---- invitations to rooms -----------------------------------------------------------------------------------------

local NS_USER = "http://jabber.org/protocol/muc#user"
local NS_DIRECT = "jabber:x:conference"

-- Who invites by such an element; nil if it is no invitation. A room speaks for whoever invited, and could lie: one that does
-- gets an invitation in the name of a contact through.
local INVITES = {
    {NS_USER, function(ev, x)
        local invite = x:find("invite", NS_USER)
        if not invite then return nil end
        local inviter = invite:attr("from")
        return inviter and ev:jid_parse(inviter) or ev:from()
    end},
    {NS_DIRECT, function(ev) return ev:from() end},
}

-- A message may have several such elements.
local function does_a_stranger_invite(ev, inviter_of, ns)
    for x in ev:root():children() do
        local inviter = x:is("x", ns) and inviter_of(ev, x)
        if inviter and not is_known(ev, inviter, ev:to()) then return true end
    end
end

local function on_invitation(inviter_of, ns)
    return function(ev)
        local me = sv.self
        if ev:type() == "error" or me.rooms == "pass" or not does_a_stranger_invite(ev, inviter_of, ns) then return end
        invitations:add(1)
        if me.rooms == "drop" then return ev:drop("invitation") end
        return ev:refuse("policy-violation", me.text)
    end
end

-- Guards, which stop no more than messages with such an element while this module is in quarantine. Accounts that do not
-- exist are asked for, too: the answer must not tell that they do not.
for _, scope in ipairs {"account", "resource", "nobody"} do
    for _, kind in ipairs(INVITES) do
        local ns, inviter_of = kind[1], kind[2]
        sv.on("message/" .. scope .. " {" .. ns .. "}x", on_invitation(inviter_of, ns), {band = "early", after = "blocking", guard = true})
    end
end

-- ---- subscription requests ----------------------------------------------------------------------------------------

-- What a request keeps: a token that the account itself gave out (XEP-0379).
local KEPT = {["urn:xmpp:pars:0 preauth"] = true}

-- How many an account got today: forgotten with the day, and when they are too many to remember.
local ACCOUNTS_MAX = 5000

-- Long names take a digest's room.
local function short(key) return #key <= 64 and key or sv.hash.digest("sha256", key) end

local function count_today(node)
    local me, day = sv.self, sv.now_s() // 86400
    if me.day ~= day or me.accounts >= ACCOUNTS_MAX then me.day, me.today, me.accounts = day, {}, 0 end
    local key = short(node)
    if not me.today[key] then me.accounts = me.accounts + 1 end
    me.today[key] = (me.today[key] or 0) + 1
    return me.today[key]
end

local function without_text(ev)
    local request = ev:root():table()
    local bare = {"presence", xmlns = "jabber:client", type = "subscribe", from = request.from, to = request.to, id = request.id}
    for child in ev:root():children() do
        if KEPT[child:ns() .. " " .. child:name()] then bare[#bare + 1] = child end
    end
    return bare
end

-- Open: while this module is in quarantine requests come as they are; a guard would stop all presence from elsewhere.
sv.on("presence/account", function(ev)
    local me, to = sv.self, ev:to()
    if ev:type() ~= "subscribe" or is_known(ev, ev:from(), to) then return end
    if me.requests == "drop" or count_today(to.node) > me.requests_per_day then
        requests:add(1)
        return ev:drop("request")
    end
    if me.requests == "strip" and ev:root():first() then
        requests:add(1)
        ev:replace(without_text(ev))
    end
end, {band = "early", after = "blocking", open = true})

-- ---- over reloads -------------------------------------------------------------------------------------------------

sv.start(function()
    local me, saved = sv.self, sv.saved() or {}
    me.day, me.today, me.accounts = saved.day or 0, saved.today or {}, saved.accounts or 0
end)

sv.save(function()
    local me = sv.self
    return {day = me.day, today = me.today, accounts = me.accounts}
end)
