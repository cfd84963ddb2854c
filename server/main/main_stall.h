/* Where a thread is while it goes on: who runs on it, and its calls, taken by a signal whose handler only copies into
 * memory that is there already. */
#ifndef SVI_MAIN_STALL_H
#define SVI_MAIN_STALL_H

#include <pthread.h>

#include "bus/bus.h"

#define SVI_STALL_FRAMES 24

/* Copies: what they were made of may be gone when they are read. */
typedef struct svi_stall {
    char module[64], hook[128], host[256]; /* "" if none */
    uint64_t stanza;                       /* ledger number; 0 */
    void *frames[SVI_STALL_FRAMES];        /* the innermost first */
    int first, count;                      /* those before the first are of the signal */
} svi_stall;

/* Installs the handler: once a process, before threads start. */
void svi_stall_install(void);

/* Asks the thread, which runs the bus, where it is, if it still runs what made svi_bus_calls that number. What was asked
 * before and not taken is given up. One thread asks and takes. */
void svi_stall_ask(pthread_t thread, const svi_bus *bus, uint64_t calls);

/* True once the thread has said it: copied to `stall_out`. */
bool svi_stall_take(svi_stall *stall_out);

/* The calls as text, the innermost first: "module+0x1234 < function < ...", without the handler itself; what `addr2line`
 * reads. Cut where `to` ends. */
void svi_stall_text(const svi_stall *stall, char *to, size_t size);

#endif
