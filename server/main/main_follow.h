/* Followers: operators who get lines as things happen, until they hang up or the server ends.
 *
 * What happens is never held by who reads it: a follower has room for SVI_FOLLOW_ROOM_BYTES of lines that
 * are not sent yet; what finds no room is dropped, and a line {"dropped": N} stands in the gap. A line is
 * {"record": {...}, "text": "..."}: what happened for programs, and the same for people. Router thread,
 * but for svi_follows_put_log. */
#ifndef SVI_MAIN_FOLLOW_H
#define SVI_MAIN_FOLLOW_H

#include "base/base_log.h"
#include "mods/mods_command.h"
#include "xmpp/xmpp_session.h"

enum {
    SVI_FOLLOWERS_MAX = 16,             /* at once, of all kinds */
    SVI_FOLLOW_ROOM_BYTES = 256 * 1024, /* of each, twice: what is sent, and what comes meanwhile */
    SVI_FOLLOW_XML_BYTES = 32 * 1024    /* of one stanza; the rest is cut off */
};

typedef struct svi_follows svi_follows;   /* all followers of a server */
typedef struct svi_follower svi_follower; /* one of them */

typedef enum svi_follow_kind { SVI_FOLLOW_LOG, SVI_FOLLOW_STANZAS } svi_follow_kind;

/* What a follower wants. Texts may be empty: any. */
typedef struct svi_follow_filter {
    svi_follow_kind kind;
    sv_jid user;    /* with a resource: that session alone; domain empty: anybody */
    sv_str host;    /* a domain */
    sv_str event;   /* LOG: its name */
    int level;      /* LOG: up to this sv_level */
    sv_str element; /* STANZAS: "message", "presence" or "iq" */
    bool wants_xml; /* STANZAS: with their contents */
} svi_follow_filter;

/* Makes the holder and taps the log (svi_log_set_tap). `server` is borrowed. SV_EIO. */
sv_status svi_follows_open(uv_loop_t *loop, svi_server *server, svi_follows **follows_out,
                           sv_err *err);

/* Ends it when all followers have been freed or left; its handle closes in the loop's next rounds. Clears the
 * pointer; NULL does nothing. */
void svi_follows_close(svi_follows **follows);

/* Adds a follower, who collects lines from now on; the filter is copied. Its number in *id_out, by which
 * svi_follows_take gets it. SV_ELIMIT with text if there are SVI_FOLLOWERS_MAX. */
sv_status svi_follows_add(svi_follows *follows, const svi_follow_filter *filter, int64_t *id_out,
                          sv_err *err);

/* The follower of that number, once: the caller frees it from now on. NULL if there is none. */
svi_follower *svi_follows_take(svi_follows *follows, int64_t id);

/* `ready(ctx)` is called, in a turn of the loop, whenever there is something to take. */
void svi_follower_begin(svi_follower *follower, void (*ready)(void *ctx), void *ctx);

/* All whole lines that wait; empty if none does. They are borrowed until the next call. */
sv_str svi_follower_lines(svi_follower *follower);

/* Nothing more comes to it; what was borrowed stays until it is freed. Idempotent. */
void svi_follower_leave(svi_follower *follower);

/* Leaves and frees it; clears the pointer, NULL does nothing. */
void svi_follower_free(svi_follower **follower);

/* True if the follower watches stanzas, and what it wants, for the log: "romeo@example.org", "host
 * example.org", "all". The text is written to `to`. */
bool svi_follower_watches(const svi_follower *follower, char to[SVI_LOG_BYTES / 4], bool *xml_out);

/* --- what happens (main_follow_log.c, main_follow_stanza.c) ------------------------------------------- */

/* Gives `line` to all followers of that kind whose filter `wants(filter, ctx)`; `make(ctx, filter, line)`
 * writes it without its end, once for those that want XML and once for the others. Any thread. */
typedef struct svi_follow_news {
    svi_follow_kind kind;
    bool (*wants)(const svi_follow_filter *filter, const void *ctx);
    void (*make)(const void *ctx, bool with_xml, svi_buf *line);
    const void *ctx;
} svi_follow_news;
void svi_follows_tell(svi_follows *follows, const svi_follow_news *news);

/* An svi_log_tap whose ctx is an svi_follows. */
void svi_follows_put_log(void *follows, sv_level level, const char *event, const svi_field *fields,
                         size_t count);

/* The svi_watcher (xmpp_session.h) whose ctx is an svi_follows. */
void svi_follows_put_stanza(void *follows, const svi_seen *seen);

/* True if the address is the user's, or the session's if `user` has a resource. */
bool svi_follow_is_of(const sv_jid *user, sv_str address);

/* Appends text in quotes as JSON has it; what is no UTF-8 becomes '?'. */
void svi_follow_put_quoted(svi_buf *line, sv_str text);

/* Appends text for a terminal: what could begin a line or steer it becomes '?'. */
void svi_follow_put_plain(svi_buf *line, sv_str text);

#endif
