/* Memory of this process as the system sees it. */
#ifndef SVI_MAIN_RESIDENT_H
#define SVI_MAIN_RESIDENT_H

#include <stdint.h>

/* What is resident, in bytes; 0 if the system does not tell. */
int64_t svi_resident_bytes(void);

#endif
