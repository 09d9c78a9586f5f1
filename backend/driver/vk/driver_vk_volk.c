/* The one file that holds volk's code: it opens the Vulkan loader at run time. Compiled without warnings,
 * since the text is not ours. */
#define VOLK_IMPLEMENTATION
#include <volk.h>
