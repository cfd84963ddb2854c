/* The module table's group "stream" (mods_stream.c). */
#ifndef SVI_MODS_STREAM_H
#define SVI_MODS_STREAM_H

/* Its table, an sv_stream_api. */
const void *svi_stream_table(void);

#endif
