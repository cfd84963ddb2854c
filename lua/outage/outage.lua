-- Service Outage Status (XEP-0455): the host's answer to disco#info names the web pages that tell when it is out of order.
sv.script {summary = "Service Outage Status (XEP-0455)", changes = {"disco/host"}, after = "disco"}
sv.option {"addresses", kind = "list", form = "uri",
    manual = "Where clients find the state of the service as JSON: addresses of the web, best on other machines."}

sv.start(function()
    for _, uri in ipairs(sv.self.addresses) do
        if not uri:find("^https?://") then return false, "outage_addresses: '" .. uri .. "' begins with neither https:// nor http://" end
    end
end)

sv.on("disco/host", function(ev)
    local field = {"field", var = "external-status-addresses"}
    for _, uri in ipairs(sv.self.addresses) do field[#field + 1] = {"value", uri} end
    if ev:subject() ~= "" or not field[2] then return end
    ev:offer(ev:stanza_bytes {"x", xmlns = "jabber:x:data", type = "result",
        {"field", var = "FORM_TYPE", type = "hidden", {"value", "urn:xmpp:sos:0"}}, field})
end)
