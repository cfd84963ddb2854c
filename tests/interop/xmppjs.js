// A client made of xmpp.js: takes commands as lines of JSON on standard input, prints what happens as lines of JSON.
//
//     node xmppjs.js SERVICE DOMAIN USER PASSWORD      SERVICE is xmpp:// (STARTTLS) or xmpps:// (TLS at once), host and port
//     {"say": {"to": "nurse@chat.test", "body": "..."}}    {"leave": true}    {"lose": true}: the connection, and comes back
//     {"presence": {"to": "...", "type": "subscribe", "show": "away", "status": "..."}}    {"block": "..."}    {"unblock": "..."}
"use strict";

const dns = require("dns");
const readline = require("readline");
const { pathToFileURL } = require("url");

globalThis.crypto ??= require("crypto").webcrypto; // what it expects of the engine, and Node 18 lacks

// Names under .test (RFC 6761) are this machine; all else is left to the system.
const lookup = dns.lookup;
dns.lookup = (name, options, done) => {
  if (!name.endsWith(".test")) return lookup(name, options, done);
  const [how, then] = typeof options === "function" ? [{}, options] : [options, done];
  const here = { address: "127.0.0.1", family: 4 };
  process.nextTick(() => (how.all ? then(null, [here]) : then(null, here.address, here.family)));
};

const print = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const [service, domain, username, password] = process.argv.slice(2);

import(pathToFileURL(require.resolve("@xmpp/client"))).then(({ client, xml }) => {
  const xmpp = client({ service, domain, username, password, timeout: 60000 }); // of each step; 2 s is little on a busy machine
  xmpp.reconnect.stop();

  xmpp.on("error", (error) => print({ error: `${error.name} ${error.code || error.condition}: ${error.message}` }));
  xmpp.on("online", async (jid) => {
    await xmpp.send(xml("presence"));
    print({ online: jid.toString() });
  });
  xmpp.streamManagement.on("resumed", () => print({ resumed: true }));
  xmpp.on("stanza", (stanza) => {
    const body = stanza.is("message") && stanza.getChildText("body");
    if (body) print({ message: { from: stanza.attrs.from, body } });
    if (stanza.is("presence")) {
      const [show, status] = ["show", "status"].map((name) => stanza.getChildText(name) ?? "");
      print({ presence: { from: stanza.attrs.from, type: stanza.attrs.type ?? "available", show, status } });
    }
  });

  readline.createInterface({ input: process.stdin }).on("line", async (line) => {
    const { say, presence, block, unblock, leave, lose } = JSON.parse(line);
    if (say) await xmpp.send(xml("message", { to: say.to, type: "chat" }, xml("body", {}, say.body)));
    if (presence) {
      const { to, type, show, status } = presence;
      await xmpp.send(xml("presence", { to, type }, show && xml("show", {}, show), status && xml("status", {}, status)));
    }
    if (block ?? unblock) {
      const items = xml(block ? "block" : "unblock", { xmlns: "urn:xmpp:blocking" }, xml("item", { jid: block ?? unblock }));
      await xmpp.iqCaller.set(items);
      print({ done: block ? "block" : "unblock" });
    }
    if (lose) {
      xmpp.reconnect.delay = 100;
      xmpp.reconnect.stop();
      xmpp.reconnect.start();
      (xmpp.socket.destroy ? xmpp.socket : xmpp.socket.socket).destroy();
    }
    if (leave) {
      await xmpp.stop();
      process.exit(0);
    }
  });

  xmpp.start().catch(() => process.exit(1)); // the error has been printed
});
