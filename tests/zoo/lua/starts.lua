-- Fails in sv.start, as its option says.
sv.script {summary = "fails in its start"}
sv.option {"how", kind = "enum", words = "fine raises loops refuses", preset = "fine", manual = "How it fails."}
sv.start(function()
    if sv.self.how == "raises" then error("on purpose in start") end
    while sv.self.how == "loops" do end
    if sv.self.how == "refuses" then return false, "this host has no moon" end
end)
