-- Takes nearly all the time that it may, each time.
sv.script {summary = "is slow, but not too slow", reads = {"roster/shared"}}
sv.on("roster/shared", function() for _ = 1, 300000 do end end)
