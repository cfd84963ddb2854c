/* Poisoning for AddressSanitizer builds, nothing in others. Used by arena and pool only. */
#ifndef SVI_BASE_ASAN_H
#define SVI_BASE_ASAN_H

#if defined(__SANITIZE_ADDRESS__) /* gcc */
#define SVI_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) /* clang */
#define SVI_ASAN 1
#endif
#endif

#ifdef SVI_ASAN
#include <sanitizer/asan_interface.h>
#define SVI_POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define SVI_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define SVI_ASAN 0
#define SVI_POISON(p, n) ((void)(p), (void)(n))
#define SVI_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#endif
