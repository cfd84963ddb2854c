-- Wants what its head does not name.
sv.script {summary = "wants more than it says", reads = {"presence/account"}}
sv.on("message/account", function() end)
