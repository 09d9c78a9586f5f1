# volk, the Vulkan loader-loader: only its header is used (VOLK_IMPLEMENTATION in one file), so that the two
# ways distributions package it (a library, or sources) do not matter. Sets Volk_FOUND, Volk_INCLUDE_DIR,
# Volk_VERSION.
find_path(Volk_INCLUDE_DIR volk.h PATH_SUFFIXES volk Volk)
if(Volk_INCLUDE_DIR)
    file(STRINGS ${Volk_INCLUDE_DIR}/volk.h line REGEX "#define VOLK_HEADER_VERSION [0-9]+" LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+$" Volk_VERSION "${line}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Volk REQUIRED_VARS Volk_INCLUDE_DIR VERSION_VAR Volk_VERSION)
mark_as_advanced(Volk_INCLUDE_DIR)
