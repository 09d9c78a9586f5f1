/* keep_loaded.c: linked into every program that the sanitizers watch; libraries stay loaded.
 *
 * LeakSanitizer takes what an unloaded library kept in its globals for lost, and can no longer say whose it
 * was. Mesa keeps a table of L3 caches on AMD processors, and the Vulkan loader unloads it with the last
 * instance. */
#include <dlfcn.h>

int dlclose(void *handle) {
    (void)handle;
    /* A call that succeeds frees the text of an earlier failure; asking twice does too. */
    (void)dlerror();
    (void)dlerror();
    return 0;
}
