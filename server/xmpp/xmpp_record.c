/* The form of what is stored of a session. */
#include "xmpp/xmpp_record.h"

#include "base/base_assert.h"

/* Stored: never given to another note. */
typedef enum kind {
    HEAD = 1,
    COUNTED,
    IN,
    DONE,
    COPY,
    ACKED,
    PRESENCE,
    ITEM,
    REQUEST,
    ANSWERED,
    AWAY,
    NUMBERED,
    GONE,
    ENDED,
    ANSWER
} kind;

#define NUMBER_BYTES 10u /* of one of 64 bits, at most */

/* --- writing ---------------------------------------------------------------------------------- */

static size_t number_to(char to[NUMBER_BYTES], uint64_t n)
{
    size_t count = 0;
    for (; n > 0x7f; n >>= 7) to[count++] = (char)(n | 0x80);
    to[count++] = (char)n;
    return count;
}

/* A part of a note: a number, or a text if `is_text`; one without bytes (.p NULL) is told from an empty one. */
typedef struct part {
    bool is_text;
    uint64_t number;
    sv_str text;
} part;

#define NUMBER(n) {.number = (uint64_t)(n)}
#define TEXT(s) {.is_text = true, .text = (s)}

static uint64_t length_of(const part *p)
{
    return p->text.p != NULL ? (uint64_t)p->text.n + 1 : 0;
}

static void put_note(svi_buf *out, kind what, const part *parts, size_t count)
{
    char number[NUMBER_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += parts[i].is_text ? number_to(number, length_of(&parts[i])) + parts[i].text.n
                              : number_to(number, parts[i].number);
    svi_buf_putc(out, (char)what);
    svi_buf_put(out, (sv_str){number, number_to(number, n)});
    for (size_t i = 0; i < count; i++) {
        const uint64_t first = parts[i].is_text ? length_of(&parts[i]) : parts[i].number;
        svi_buf_put(out, (sv_str){number, number_to(number, first)});
        if (parts[i].is_text && parts[i].text.n > 0) svi_buf_put(out, parts[i].text);
    }
}

#define PUT(out, what, ...)                                                                        \
    do {                                                                                           \
        const part parts_[] = {__VA_ARGS__};                                                       \
        put_note(out, what, parts_, sizeof parts_ / sizeof *parts_);                               \
    } while (0)

void svi_note_put_head(svi_buf *out, const svi_note_head *head)
{
    PUT(out, HEAD, TEXT(head->full), TEXT(head->lang), NUMBER(head->bound_us));
}

void svi_note_put_counted(svi_buf *out, const svi_note_counted *counted)
{
    PUT(out, COUNTED, NUMBER(counted->is_counting_out), NUMBER(counted->keep_us), NUMBER(counted->max_stanzas),
        NUMBER(counted->max_bytes), NUMBER(counted->ask_stanzas), NUMBER(counted->ask_bytes), NUMBER(counted->ask_idle_us),
        NUMBER(counted->answer_us));
}

void svi_note_put_in(svi_buf *out, uint32_t h, uint64_t serial, uint64_t since)
{
    PUT(out, IN, NUMBER(h), NUMBER(serial), NUMBER(since));
}

void svi_note_put_done(svi_buf *out, uint64_t serial, uint64_t mark)
{
    PUT(out, DONE, NUMBER(serial), NUMBER(mark));
}

void svi_note_put_copy(svi_buf *out, const svi_note_copy *copy)
{
    PUT(out, COPY, NUMBER(copy->ticket), NUMBER(copy->since_us), TEXT(copy->to), TEXT(copy->stanza), TEXT(copy->map),
        TEXT(copy->owner), TEXT(copy->key));
}

void svi_note_put_number(svi_buf *out, uint64_t ticket, uint64_t number)
{
    PUT(out, NUMBERED, NUMBER(ticket), NUMBER(number));
}

void svi_note_put_gone(svi_buf *out, uint64_t ticket)
{
    PUT(out, GONE, NUMBER(ticket));
}

void svi_note_put_acked(svi_buf *out, uint64_t number)
{
    PUT(out, ACKED, NUMBER(number));
}

void svi_note_put_presence(svi_buf *out, sv_str presence, int priority)
{
    SV_ASSERT(priority >= -128 && priority <= 127); /* RFC 6121 4.7.2.3 */
    PUT(out, PRESENCE, NUMBER(priority + 128), TEXT(presence));
}

void svi_note_put_item(svi_buf *out, sv_str name, sv_str value)
{
    PUT(out, ITEM, TEXT(name), TEXT(value));
}

void svi_note_put_request(svi_buf *out, const svi_note_request *request)
{
    PUT(out, REQUEST, NUMBER(request->number), TEXT(request->id), TEXT(request->to), NUMBER(request->answer));
}

void svi_note_put_answer(svi_buf *out, uint64_t number, uint64_t answer)
{
    PUT(out, ANSWER, NUMBER(number), NUMBER(answer));
}

void svi_note_put_answered(svi_buf *out, uint64_t number)
{
    PUT(out, ANSWERED, NUMBER(number));
}

void svi_note_put_away(svi_buf *out, int64_t since_us)
{
    PUT(out, AWAY, NUMBER(since_us));
}

void svi_note_put_ended(svi_buf *out)
{
    put_note(out, ENDED, NULL, 0);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* What is left of a record, or of a note. `is_bad`: something was not there, and what was given for it is empty. */
typedef struct cursor {
    sv_str rest;
    bool is_bad;
} cursor;

static uint64_t take_number(cursor *c)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (c->rest.n == 0) break;
        const unsigned char byte = (unsigned char)*c->rest.p;
        c->rest = svi_str_sub(c->rest, 1, c->rest.n - 1);
        n |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return n;
    }
    c->is_bad = true;
    return 0;
}

static sv_str take_bytes(cursor *c, uint64_t n)
{
    if (n > c->rest.n) {
        c->is_bad = true;
        return SV_STR_NONE;
    }
    const sv_str bytes = svi_str_sub(c->rest, 0, (size_t)n);
    c->rest = svi_str_sub(c->rest, (size_t)n, c->rest.n - (size_t)n);
    return bytes;
}

static sv_str take_text(cursor *c)
{
    const uint64_t n = take_number(c);
    if (n == 0) return SV_STR_NONE;
    const sv_str text = take_bytes(c, n - 1);
    return text.p != NULL ? text : SV_STR("");
}

/* Where the lists end while they grow, and where they lie. */
typedef struct reader {
    svi_arena *arena;
    svi_record *record;
    svi_record_copy **copies_end;
    svi_record_copy *ahead; /* what was said of copies whose own notes come later, if they do; number 0: gone */
    svi_record_done **done_end;
    svi_record_item **items_end;
    svi_record_request **requests_end;
} reader;

static void read_head(reader *r, cursor *c)
{
    svi_note_head *head = &r->record->head;
    head->full = take_text(c);
    head->lang = take_text(c);
    head->bound_us = (int64_t)take_number(c);
    if (head->full.n == 0) c->is_bad = true;
}

static void read_counted(reader *r, cursor *c)
{
    svi_note_counted *counted = &r->record->counted;
    r->record->is_counted = true;
    counted->is_counting_out = take_number(c) != 0;
    counted->keep_us = (int64_t)take_number(c);
    counted->max_stanzas = take_number(c);
    counted->max_bytes = take_number(c);
    counted->ask_stanzas = take_number(c);
    counted->ask_bytes = take_number(c);
    counted->ask_idle_us = (int64_t)take_number(c);
    counted->answer_us = (int64_t)take_number(c);
    if (counted->keep_us < 0 || counted->ask_idle_us < 0 || counted->answer_us < 0) c->is_bad = true;
}

static void read_in(reader *r, cursor *c)
{
    svi_record *record = r->record;
    record->h = (uint32_t)take_number(c);
    record->serial = take_number(c);
    const uint64_t since = take_number(c);
    svi_record_done **at = &record->done;
    while (*at != NULL) {
        if ((*at)->serial < since)
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
    r->done_end = at;
}

static void read_done(reader *r, cursor *c)
{
    svi_record_done *done = svi_arena_get(r->arena, sizeof *done);
    *done = (svi_record_done){.serial = take_number(c)};
    done->mark = take_number(c);
    *r->done_end = done;
    r->done_end = &done->next;
}

static svi_record_copy **find_copy(reader *r, uint64_t ticket)
{
    svi_record_copy **at = &r->record->copies;
    while (*at != NULL && (*at)->note.ticket != ticket) at = &(*at)->next;
    return at;
}

/* The newest that was said; NULL: nothing. */
static const svi_record_copy *find_ahead(const reader *r, uint64_t ticket)
{
    const svi_record_copy *said = r->ahead;
    while (said != NULL && said->note.ticket != ticket) said = said->next;
    return said;
}

/* A copy's own note is in the unit of its event, which may be written last, when the copy has gone on already. */
static void say_ahead(reader *r, uint64_t ticket, uint64_t number)
{
    svi_record_copy *said = svi_arena_get(r->arena, sizeof *said);
    *said = (svi_record_copy){.next = r->ahead, .number = number, .note = {.ticket = ticket}};
    r->ahead = said;
}

static void read_copy(reader *r, cursor *c)
{
    svi_record_copy *copy = svi_arena_get(r->arena, sizeof *copy);
    *copy = (svi_record_copy){.next = NULL};
    svi_note_copy *note = &copy->note;
    note->ticket = take_number(c);
    note->since_us = (int64_t)take_number(c);
    note->to = take_text(c);
    note->stanza = take_text(c);
    note->map = take_text(c);
    note->owner = take_text(c);
    note->key = take_text(c);
    if (note->stanza.n == 0 && note->map.n == 0) c->is_bad = true;
    if (note->ticket > r->record->last_ticket) r->record->last_ticket = note->ticket;
    if (*find_copy(r, note->ticket) != NULL) return; /* a snapshot was written while its unit was open */
    const svi_record_copy *said = find_ahead(r, note->ticket);
    if (said != NULL && said->number <= r->record->acked) return; /* the client has it, or it went another way */
    if (said != NULL) copy->number = said->number;
    *r->copies_end = copy;
    r->copies_end = &copy->next;
}

static void remove_copy(reader *r, svi_record_copy **at)
{
    if (r->copies_end == &(*at)->next) r->copies_end = at;
    *at = (*at)->next;
}

/* An event that waits is written behind others that came after it, and perhaps behind the acknowledgement. */
static void read_number(reader *r, cursor *c)
{
    const uint64_t ticket = take_number(c), number = take_number(c);
    svi_record_copy **at = find_copy(r, ticket);
    if (number == 0) c->is_bad = true;
    if (number > r->record->noted) r->record->noted = number;
    if (*at == NULL)
        say_ahead(r, ticket, number);
    else if (number <= r->record->acked)
        remove_copy(r, at);
    else
        (*at)->number = number;
}

static void read_gone(reader *r, cursor *c)
{
    const uint64_t ticket = take_number(c);
    svi_record_copy **at = find_copy(r, ticket);
    if (*at != NULL)
        remove_copy(r, at);
    else
        say_ahead(r, ticket, 0);
}

static void read_acked(reader *r, cursor *c)
{
    svi_record *record = r->record;
    record->acked = take_number(c);
    for (svi_record_copy **at = &record->copies; *at != NULL;) {
        if ((*at)->number > 0 && (*at)->number <= record->acked)
            remove_copy(r, at);
        else
            at = &(*at)->next;
    }
    if (record->acked > record->noted) record->noted = record->acked;
}

static void read_presence(reader *r, cursor *c)
{
    const uint64_t priority = take_number(c);
    if (priority > 255) c->is_bad = true;
    r->record->priority = (int)(priority & 255) - 128;
    r->record->presence = take_text(c);
}

static void read_item(reader *r, cursor *c)
{
    const sv_str name = take_text(c), value = take_text(c);
    svi_record_item **at = &r->record->items;
    while (*at != NULL && !sv_str_eq((*at)->name, name)) at = &(*at)->next;
    if (*at == NULL && value.p != NULL) {
        *at = svi_arena_get(r->arena, sizeof **at);
        **at = (svi_record_item){.name = name};
    }
    if (*at == NULL) return;
    (*at)->value = value;
    if (value.p == NULL) *at = (*at)->next;
}

static void read_request(reader *r, cursor *c)
{
    svi_record_request *request = svi_arena_get(r->arena, sizeof *request);
    *request = (svi_record_request){.note = {.number = take_number(c)}};
    request->note.id = take_text(c);
    request->note.to = take_text(c);
    request->note.answer = take_number(c);
    if (request->note.number > r->record->last_request) r->record->last_request = request->note.number;
    *r->requests_end = request;
    r->requests_end = &request->next;
}

static svi_record_request **find_request(reader *r, uint64_t number)
{
    svi_record_request **at = &r->record->requests;
    while (*at != NULL && (*at)->note.number != number) at = &(*at)->next;
    return at;
}

static void read_answer(reader *r, cursor *c)
{
    svi_record_request *request = *find_request(r, take_number(c));
    const uint64_t answer = take_number(c);
    if (request != NULL) request->note.answer = answer;
}

static void read_answered(reader *r, cursor *c)
{
    svi_record_request **at = find_request(r, take_number(c));
    if (*at == NULL) return;
    if (r->requests_end == &(*at)->next) r->requests_end = at;
    *at = (*at)->next;
}

static void read_away(reader *r, cursor *c)
{
    r->record->away_us = (int64_t)take_number(c);
}

static void read_ended(reader *r, cursor *c)
{
    (void)c;
    r->record->has_ended = true;
}

static void (*const readers[])(reader *r, cursor *c) = {
    [HEAD] = read_head,         [COUNTED] = read_counted, [IN] = read_in,     [DONE] = read_done,
    [COPY] = read_copy,         [ACKED] = read_acked,     [ITEM] = read_item, [PRESENCE] = read_presence,
    [REQUEST] = read_request,   [ANSWERED] = read_answered, [AWAY] = read_away,
    [NUMBERED] = read_number,   [GONE] = read_gone,       [ENDED] = read_ended,
    [ANSWER] = read_answer,
};

static sv_status read_note(reader *r, cursor *all, bool is_first, sv_err *err)
{
    const sv_str what = take_bytes(all, 1);
    cursor note = {.rest = take_bytes(all, take_number(all))};
    if (all->is_bad) return svi_err(err, SV_EIO, "a note is cut off");
    const unsigned k = (unsigned char)*what.p;
    if (k == 0 || (k == HEAD) != is_first) return svi_err(err, SV_EIO, "a note of kind %u is where none belongs", k);
    if (k >= sizeof readers / sizeof *readers)
        return svi_err(err, SV_EVERSION, "a note of kind %u is of a later release", k);
    readers[k](r, &note);
    return note.is_bad ? svi_err(err, SV_EIO, "a note of kind %u makes no sense", k) : SV_OK;
}

sv_status svi_record_read(svi_arena *arena, sv_str bytes, svi_record *record_out, sv_err *err)
{
    *record_out = (svi_record){.presence = SV_STR("")};
    reader r = {.arena = arena,
                .record = record_out,
                .copies_end = &record_out->copies,
                .done_end = &record_out->done,
                .items_end = &record_out->items,
                .requests_end = &record_out->requests};
    cursor all = {.rest = bytes};
    if (bytes.n == 0) return svi_err(err, SV_EIO, "it is empty");
    sv_status status = read_note(&r, &all, true, err);
    while (status == SV_OK && all.rest.n > 0) status = read_note(&r, &all, false, err);
    return status;
}
