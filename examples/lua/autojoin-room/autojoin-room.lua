-- Each user is invited to the host's rooms (XEP-0249): to each once, at the next login.
sv.script {summary = "Invitations to the host's rooms", changes = {"session/presence"}, stores = {"invited"}, sends = {"host"}}
sv.option {"rooms", kind = "list", form = "jid", manual = "Rooms that everybody is invited to."}
sv.option {"reason", kind = "string", preset = "All of us meet here.", manual = "What the invitation says."}

local invited = sv.store("invited") -- account, room -> when

sv.on("session/presence", function(ev)
    if not ev:stanza() or ev:is_guest(ev:from()) then return end
    local user, rows = ev:from().node, invited:rows(ev:from().node)
    if not rows then return end -- the store can't be read now: at the next login
    for _, room in ipairs(sv.self.rooms) do
        if not rows:row(room) and invited:put(user, room, ev:stamp(sv.now_ms())) then
            ev:route {"message", to = ev:from().bare, {"x", xmlns = "jabber:x:conference", jid = room, reason = sv.self.reason}}
        end
    end
end)
