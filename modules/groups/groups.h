/* What the files of the groups module share. */
#ifndef GROUPS_H
#define GROUPS_H

#include <stave/module.h>
#include <stave/roster.h>

/* A member of a group: prepared bare address, the name others see (may be empty). */
typedef struct shared_member {
    sv_str jid, name;
} shared_member;

typedef struct group {
    sv_str name;
    bool has_everybody; /* all accounts of the host */
    shared_member *members;
    size_t count, cap;
    char *line; /* what is offered; NULL: to be made */
    size_t line_bytes;
} group;

/* Groups and all their text, freed together. */
typedef struct shared_groups {
    sv_mod *mod; /* whose memory it is */
    group *groups;
    size_t count;
    char **texts;
    size_t text_count;
} shared_groups;

/* What is wrong with an input: `line` 0 is the whole of it. */
typedef struct groups_fault {
    int line;
    char text[160];
} groups_fault;

#define GROUPS_FILE_MAX (4 << 20)
#define GROUPS_MAX 1000u
#define GROUP_NAME_MAX 1023u

/* Reads a file's text (mod_groups of Prosody: "[Name]", then lines "address=display name"; "*" is every
 * account of the host; '#' and ';' begin comments) behind what the set has. Without an event addresses
 * are only looked at, not prepared. False with the fault told. */
bool groups_read_text(shared_groups *set, sv_event *ev, sv_str text, groups_fault *fault_out);

/* Reads an item of the option: "Name: address=display name, address, *". */
bool groups_read_item(shared_groups *set, sv_event *ev, sv_str item, groups_fault *fault_out);

/* True, with what is wrong told, if following the file went wrong. */
bool groups_refuse_file(sv_status status, groups_fault *fault_out);

/* Sorts members by address, for groups_has. */
void groups_finish(shared_groups *set);
bool groups_has(const group *g, sv_str jid);
void groups_free(shared_groups *set);

#endif
