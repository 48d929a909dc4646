/* The version that CMakeLists.txt gives the project, and the hosts it is for. */

/* Refused where it is built, not found out where it runs. */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error                                                                                                       \
    "lvt is for little-endian processors: programs, checkpoints and data files are read and written as they lie in memory"
#endif
#if __SIZEOF_POINTER__ < 8
#error "lvt is for 64-bit processors: sizes of tensors and arenas are counted in 64 bits"
#endif

#include "version.h"

const char *lvt_version(void) {
    return LVT_VERSION;
}
