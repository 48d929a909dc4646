/* The version that CMakeLists.txt gives the project. */
#include "version.h"

const char *lvt_version(void) {
    return LVT_VERSION;
}
