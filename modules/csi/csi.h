/* What the files of the module share. */
#ifndef CSI_H
#define CSI_H

#include <stave/module.h>

#define NS_CSI "urn:xmpp:csi:0"

/* The item of a session whose client said that nobody looks; its value is "inactive". */
#define CSI_ITEM "csi"

/* What room messages are worth, as the option's words stand. */
typedef enum csi_rooms {
    CSI_ROOMS_ALL = 0,     /* all matter */
    CSI_ROOMS_MENTIONS = 1 /* those that name the user */
} csi_rooms;

/* What becomes of a stanza while nobody looks. */
typedef struct csi_worth {
    bool waits;
    sv_str key; /* of those under one key the newest matters; empty: each does */
} csi_worth;

/* Judges the stanza of an event at session/sending. */
csi_worth csi_worth_of(sv_event *ev, csi_rooms rooms);

#endif
