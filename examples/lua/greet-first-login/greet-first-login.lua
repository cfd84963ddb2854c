-- A greeting to each user at the first login, also to those whose accounts are older than this script.
sv.script {summary = "A greeting at the first login", changes = {"session/presence"}, stores = {"greeted"}, sends = {"host"}}
sv.option {"text", kind = "string", preset = "Hello $user! Help is at https://$host/help.", manual = "The greeting; $user and $host are replaced."}

local greeted = sv.store("greeted") -- account, "at" -> when

sv.on("session/presence", function(ev)
    local user = ev:from().node
    if not ev:stanza() or greeted:get(user, "at") then return end
    if greeted:put(user, "at", ev:stamp(sv.now_ms())) then
        local text = sv.self.text:gsub("%$(%l+)", {user = user, host = sv.host()})
        ev:route {"message", to = ev:from().bare, {"body", text}}
    end
end)
