-- Tests of @NAME@: what a server with it does, step by step.
test("a note outlives a reload", function(stage)
    stage.config "@OPTION@_length = 5"
    stage.run [[
        client romeo romeo@localhost/orchard
        romeo connects
        romeo sends <iq type='set' id='1'><note xmlns='urn:example:@NAME@'>naïve</note></iq>
        romeo receives <iq type='result' id='1'/>
    ]]
    stage.reload()
    stage.run [[
        romeo sends <iq type='get' id='2'><note xmlns='urn:example:@NAME@'/></iq>
        romeo receives <iq type='result' id='2'><note xmlns='urn:example:@NAME@'>naïve</note></iq>
    ]]
end)

test("while the disk fails, nobody is told that there is no note", function(stage)
    stage.run [[
        client romeo romeo@localhost/orchard
        romeo connects
    ]]
    stage.harm("store-fails", 1)
    stage.run [[
        romeo sends <iq type='get' id='1'><note xmlns='urn:example:@NAME@'/></iq>
        romeo receives <iq type='error' id='1'><error><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
    ]]
end)
