# cJSON as the imported target cJSON::cJSON, for `#include <cjson/cJSON.h>`. pkg-config, where there is one,
# says where to look; it is not needed. Installed with anyround, whose package configuration uses it.
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
    pkg_check_modules(PC_cJSON QUIET libcjson)
endif()
find_path(cJSON_INCLUDE_DIR cjson/cJSON.h HINTS ${PC_cJSON_INCLUDEDIR} PATH_SUFFIXES ..)
find_library(cJSON_LIBRARY NAMES cjson HINTS ${PC_cJSON_LIBDIR} ${PC_cJSON_LIBRARY_DIRS})
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(cJSON REQUIRED_VARS cJSON_LIBRARY cJSON_INCLUDE_DIR VERSION_VAR
    PC_cJSON_VERSION)
if(cJSON_FOUND AND NOT TARGET cJSON::cJSON)
    add_library(cJSON::cJSON UNKNOWN IMPORTED)
    set_target_properties(cJSON::cJSON PROPERTIES IMPORTED_LOCATION ${cJSON_LIBRARY}
        INTERFACE_INCLUDE_DIRECTORIES ${cJSON_INCLUDE_DIR})
endif()
mark_as_advanced(cJSON_INCLUDE_DIR cJSON_LIBRARY)
