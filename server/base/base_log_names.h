/* Names of all log events of core and modules and what they mean; one line each, append where it belongs.
 *
 * Included with SVI_LOG_NAME(name, meaning) defined by the includer. Names are stable within a
 * major version. */
#ifndef SVI_LOG_NAME
#define SVI_LOG_NAME(name, meaning)
#endif

/* clang-format off */

/* server, config, modules */
SVI_LOG_NAME("server-start", "The process begins; version and settings that matter are in the fields.")
SVI_LOG_NAME("server-ready", "All listeners are open and the first stanza can be routed.")
SVI_LOG_NAME("server-stop", "The process ends in order, or begins to.")
SVI_LOG_NAME("server-reload", "A new configuration was read and is in force.")
SVI_LOG_NAME("log-reopened", "The log's file was opened again; lines go there from now on.")
SVI_LOG_NAME("log-not-reopened", "The log's file could not be opened again; lines go on to the old one.")
SVI_LOG_NAME("log-dropped", "Log lines were lost, since those before could not be written in time.")
SVI_LOG_NAME("config-error", "The configuration is refused; file, line and reason are in the fields.")
SVI_LOG_NAME("config-warning", "The configuration is accepted but something in it looks unintended.")
SVI_LOG_NAME("module-loaded", "A module's generation was loaded and started.")
SVI_LOG_NAME("disco-offer-refused", "A module offered something for an answer of service discovery that has no place there.")
SVI_LOG_NAME("caps-node-refused", "The option caps_node is too long, or empty.")
SVI_LOG_NAME("caps-not-shown", "What the host can do could not be put into the stream features.")
SVI_LOG_NAME("host-added", "A host is served from now on, by a reload.")
SVI_LOG_NAME("host-removed", "A host is served no more, by a reload; its sessions end, its data stay.")
SVI_LOG_NAME("host-changed", "Settings or modules of a host were changed by a reload.")
SVI_LOG_NAME("module-removed", "A module runs no more on the host, by a reload.")
SVI_LOG_NAME("module-fault", "A module broke a rule or its budget; how many such faults there were lately is in the fields.")
SVI_LOG_NAME("module-budget", "A module comes near to its budget of memory or processor time on a host, or is over it.")
SVI_LOG_NAME("module-quarantined", "A module had too many faults: its handlers are not called until it is released; what they must not miss is refused.")
SVI_LOG_NAME("module-released", "A module is out of quarantine, by an operator or by new code.")
SVI_LOG_NAME("metric-wrong", "A module changed a metric that it does not declare, or let a counter fall; told once.")
SVI_LOG_NAME("module-reloaded", "A module runs with the code of its file as it is now; how many events waited in the old one, and what became of them.")
SVI_LOG_NAME("module-not-reloaded", "Modules could not be loaded anew; those that run go on.")
SVI_LOG_NAME("module-refused", "A module could not be loaded or started; the reason is in the fields.")
SVI_LOG_NAME("engine-ended", "A thread of an engine module ended by itself; what the module does in it is not done any more.")
SVI_LOG_NAME("engine-stuck", "A thread of an engine module did not end within three seconds when the server stopped; the process ended with it.")
SVI_LOG_NAME("control-command", "A command came over the control socket.")
SVI_LOG_NAME("control-failed", "The control socket or a connection on it failed.")
SVI_LOG_NAME("watch-begin", "An operator sees stanzas live from now on: who (uid), whose, and whether with their contents.")
SVI_LOG_NAME("watch-end", "An operator sees stanzas no longer.")
SVI_LOG_NAME("account-changed", "An account was made, changed or deleted by an operator.")
SVI_LOG_NAME("account-removal", "The deletion of an account goes on that the server's last end had broken off.")
SVI_LOG_NAME("account-removal-failed", "An account could not be deleted wholly; the next start, or the command again, goes on with it.")

/* listeners, streams, login */
SVI_LOG_NAME("listener-open", "A listening socket is open.")
SVI_LOG_NAME("listener-failed", "A listening socket could not be opened or stopped accepting.")
SVI_LOG_NAME("stream-open", "A stream was opened by a peer.")
SVI_LOG_NAME("stream-close", "A stream ended; the reason is in the fields.")
SVI_LOG_NAME("stream-error", "A stream was ended with a stream error.")
SVI_LOG_NAME("stream-limit", "A stream was refused or closed because a limit was reached.")
SVI_LOG_NAME("stream-relayed", "A proxy's header has told whose connection it relays.")
SVI_LOG_NAME("proxy-refused", "A connection from a proxy (c2s_proxies) began with no right PROXY header; it was closed.")
SVI_LOG_NAME("tls-failed", "A TLS handshake or a certificate failed.")
SVI_LOG_NAME("certificate-renewed", "A certificate's files have changed; new connections are shown what they hold now.")
SVI_LOG_NAME("certificate-refused", "A certificate's files have changed but can't be used or would make things worse; the one before is shown on.")
SVI_LOG_NAME("certificate-expires", "A certificate has few days left; told once a day.")
SVI_LOG_NAME("certificate-expired", "A certificate that is shown has expired; told once a day.")
SVI_LOG_NAME("certificate-unfit", "A certificate is shown that clients may refuse; the reason is in the fields.")
SVI_LOG_NAME("tickets-not-kept", "Keys of session tickets could not be written; they are lost at a restart.")
SVI_LOG_NAME("login", "A client has authenticated.")
SVI_LOG_NAME("login-failed", "A client failed to authenticate.")
SVI_LOG_NAME("login-held-back", "The answer to a failed login is delayed: there were many from there or for that account.")
SVI_LOG_NAME("login-locked", "A login was refused unseen: too many have failed from there or for that account.")
SVI_LOG_NAME("auth-slow", "The back end of a host's accounts has not answered in time; who asked was told to try later.")
SVI_LOG_NAME("auth-failed", "The back end of a host's accounts could not answer.")
SVI_LOG_NAME("session-kicked", "A session was ended by an operator (`stave kick`).")
SVI_LOG_NAME("session-open", "A resource was bound.")
SVI_LOG_NAME("session-close", "A session ended.")
SVI_LOG_NAME("session-slow", "A recipient reads too slowly; its connection is closed.")

/* bus */
SVI_LOG_NAME("handler-slow", "A handler held the router too long.")
SVI_LOG_NAME("script-error", "A function of a script raised an error, or ran for too long: it was ended.")
SVI_LOG_NAME("script-unwatched", "Scripts that run for too long can't be ended: no timer can be had.")
SVI_LOG_NAME("handler-stalls", "A handler has held the router for 100 ms and does so still; its module, hook and stack are in the fields.")
SVI_LOG_NAME("handler-fault", "A handler broke a rule of the bus; module, hook and rule are in the fields.")
SVI_LOG_NAME("handler-nesting", "Hooks fired hooks beyond the allowed depth; the innermost was refused.")
SVI_LOG_NAME("event-timeout", "An event that said LATER passed its deadline.")
SVI_LOG_NAME("stanza-replaced", "A handler replaced the stanza for all behind it.")
SVI_LOG_NAME("ledger-double", "A stanza was disposed of a second time; the second was ignored.")
SVI_LOG_NAME("ledger-leak", "A stanza was never disposed of; the ledger does not balance.")

/* store */
SVI_LOG_NAME("store-open", "The store is open; commit number and sizes are in the fields.")
SVI_LOG_NAME("store-slow", "A commit or a read took too long.")
SVI_LOG_NAME("store-read-failed", "Rows could not be read; what needed them was refused.")
SVI_LOG_NAME("store-failed", "The store failed; nothing is confirmed any more.")
SVI_LOG_NAME("store-shortage", "Disk or map is below the watermark; new writes are refused.")
SVI_LOG_NAME("backup-start", "An operator began a backup; of which host is in the fields.")
SVI_LOG_NAME("backup-done", "A backup was handed over whole.")
SVI_LOG_NAME("backup-failed", "A backup ended before it was whole; the reason is in the fields.")
SVI_LOG_NAME("restore-left", "A restore was interrupted and left a folder; the store in use is whole.")
SVI_LOG_NAME("store-plenty", "A shortage is over; writes are accepted again.")
SVI_LOG_NAME("upgrade-finished", "Records of a map are written in a newer version from now on; older code is refused.")
SVI_LOG_NAME("fold-done", "Journal records were folded into the indexes.")
SVI_LOG_NAME("journal-replayed", "The journal's tail was read at start.")
SVI_LOG_NAME("journal-behind-index", "The journal ends before the index: its end was not synced, or is missing.")
SVI_LOG_NAME("journal-cut", "The journal ended in a torn record, which was cut off.")

/* supervisor and worker */
SVI_LOG_NAME("worker-start", "The supervisor has started a worker.")
SVI_LOG_NAME("worker-exit", "A worker ended in order.")
SVI_LOG_NAME("worker-crash", "A worker died; module and hook that ran are in the fields.")
SVI_LOG_NAME("worker-blame", "A module ended three workers within ten minutes; it begins in quarantine from now on.")
SVI_LOG_NAME("worker-backoff", "Workers died too often; the next start waits.")

/* clang-format on */

#undef SVI_LOG_NAME
