-- A complete configuration. It is a Lua file in a sandbox: assignments, lists, and the words VirtualHost and Include.
-- `stave options` prints the manual of every word, `stave check --config FILE` all problems with their lines.
-- Relative paths are meant from the folder of this file.

-- Everything the server keeps: store, secrets, crash reports. Made with mode 0700; back it up as a whole.
data_path = "/var/lib/stave"

-- Unix socket for `stave status` and the like; DATA_PATH/control if not set.
-- control_socket = "/run/stave/control"

-- System user of the worker when root starts the server (for ports below 1024, say); of no effect otherwise.
user = "stave"

-- Where clients come in: every address with every port. "*" is all of IPv4, "::" all of IPv6.
c2s_interfaces = { "*", "::" }
c2s_ports = { 5222 }
-- TLS from the first byte (XEP-0368)
c2s_direct_tls_ports = { 5223 }
-- Unix sockets for a gateway on this machine; "Unix sockets" in doc/operating.md says who may use them.
-- c2s_unix_sockets = { "/run/stave/c2s" }
-- Proxies that begin each connection with a PROXY protocol header (and must): addresses, networks, "unix".
-- c2s_proxies = { "192.0.2.10", "2001:db8:1::/48" }

-- Clients must use TLS before they log in.
c2s_require_encryption = true

-- PEM files: the certificate with its chain, and its key, which the worker's user alone or its group may read (0600, 0640). Those of a
-- host go before these. Files that change are taken over. { "rsa.pem", "ecdsa.pem" } with { "rsa-key.pem", "ecdsa-key.pem" } are two kinds.
certificate = "cert.pem"
key = "key.pem"

-- Modules of all hosts; a host that sets its own list has only those.
modules_enabled = {
    "roster",   -- contact lists
    "presence", -- who is there, subscriptions
    "message",  -- delivery to sessions
    "offline",  -- messages kept until the account logs in
    "archive", "carbons",  -- all devices see both sides of a chat (XEP-0280)
    "csi",      -- phones that nobody looks at sleep (XEP-0352)
    "blocking", -- addresses that an account will not hear of (XEP-0191)
    "disco",    -- what the server can do (XEP-0030)
    "caps",     -- what clients can do, and hashes of what the server can (XEP-0115, XEP-0390)
    "sm",       -- acknowledgements, and sessions that outlive a lost connection (XEP-0198)
    "ping",     -- XEP-0199
    -- "motd", "announce", -- `stave motd set TEXT`, `stave announce all TEXT`
    -- "welcome", -- a message for new accounts: welcome_message
    -- "outage",  -- where clients read why the server is gone (XEP-0455): outage_addresses
    -- "version", -- which server this is (XEP-0092)
    -- "time",    -- what time it is (XEP-0202)
    -- "last",    -- how long ago contacts were there (XEP-0012)
    -- "private", -- XML that clients keep here (XEP-0049)
    -- "contact", -- whom to turn to (XEP-0157)
    -- "groups", -- contacts that are in rosters without asking, here all accounts of a host:
}
-- groups_list = { "Colleagues: *", "Support: romeo@example.org=Romeo M., juliet@example.org" }
-- contact_abuse = { "mailto:abuse@example.org", "xmpp:abuse@example.org" }

-- Folders with modules of your own, looked at before the server's.
-- module_paths = { "modules" }

-- "sync": a message counts as stored when it is on the disk. "write" survives a crash of the server but no power cut.
durability = "sync"

-- Threads for sockets, TLS and XML; -1 is one less than there are cores.
io_threads = -1

log_level = "info"  -- error, warn, info, debug
log_format = "text" -- text, json
log_to = "stdout"   -- stdout, syslog, journald, or a file such as "/var/log/stave/stave.log"

-- What every host shares may stand in files of its own; a pattern may match none.
Include "conf.d/*.cfg.lua"

VirtualHost "example.org"
    admins = { "romeo@example.org" }

VirtualHost "example.net"
    modules_enabled = { "roster", "presence", "message", "carbons", "csi", "blocking", "disco", "caps", "sm", "ping" }
