-- A guard that raises: what it guards does not pass when it is in quarantine.
sv.script {summary = "guards, and raises", changes = {"message/account"}}
sv.on("message/account", function() error("on purpose") end, {guard = true})
