-- Never comes to its end.
sv.script {summary = "loops while it loads"}
while true do pcall(function() while true do end end) end
