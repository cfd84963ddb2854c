-- Welcome: a message that a new account finds at its first login.
sv.script {summary = "A message for new accounts", changes = {"account/added"}, sends = {"host"}, after = "offline"}
sv.option {"message", kind = "string", preset = "Hello $user, welcome to $host!",
    manual = "What new accounts are told; $user and $host are replaced. Empty: nothing."}

sv.on("account/added", function(ev)
    local words = {user = ev:from().node, username = ev:from().node, host = sv.host()}
    if sv.self.message ~= "" then ev:route {"message", to = ev:from().bare, {"body", (sv.self.message:gsub("%$(%l+)", words))}} end
end)
