# What `cmake --install` puts where: the program, the library in both kinds, the three public headers in
# include/anyround, find_package(anyround) with anyround::anyround (shared) and anyround::static, and
# anyround.pc.
include(CMakePackageConfigHelpers)
set(AR_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/anyround)

foreach(kind static shared)
    target_include_directories(anyround_${kind} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()
set_target_properties(anyround_shared PROPERTIES EXPORT_NAME anyround)
set_target_properties(anyround_static PROPERTIES EXPORT_NAME static)
add_library(anyround::anyround ALIAS anyround_shared)
add_library(anyround::static ALIAS anyround_static)

# The shared library shows the public interface and nothing else: not what folders share among themselves
# (ar__), not volk's symbols, which a program may well have too.
if(APPLE)
    target_link_options(anyround_shared PRIVATE "-Wl,-exported_symbol,_ar_[a-z]*")
elseif(UNIX)
    if(NOT AR_SANITIZE AND NOT AR_FUZZ) # whose run-time library comes with the program
        target_link_options(anyround_shared PRIVATE -Wl,--no-undefined)
    endif()
    target_link_options(anyround_shared PRIVATE "-Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/exports.map")
    set_target_properties(anyround_shared PROPERTIES LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/exports.map)
endif()

install(TARGETS anyround_static anyround_shared ar_deps EXPORT anyroundTargets)
install(TARGETS anyround)
install(FILES
    backend/ar_acts.h
    backend/ar_backend.h
    backend/ar_peak_ops.h
    backend/ar_soft.h
    backend/ar_step_ops.h
    backend/ar_status.h
    backend/ar_state_ops.h
    backend/ar_train_ops.h
    backend/ar_tuning.h
    backend/qtypes.def
    host/ar_files.h
    host/ar_host.h
    host/ar_states_files.h
    quant/ar_finish.h
    quant/ar_quant.h
    quant/ar_states.h
    quant/ar_train.h
    quant/ar_window.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/anyround)
install(EXPORT anyroundTargets NAMESPACE anyround:: DESTINATION ${AR_CMAKE_DIR})
configure_package_config_file(cmake/anyroundConfig.cmake.in ${PROJECT_BINARY_DIR}/anyroundConfig.cmake
    INSTALL_DESTINATION ${AR_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/anyroundConfigVersion.cmake COMPATIBILITY
    SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/anyroundConfig.cmake ${PROJECT_BINARY_DIR}/anyroundConfigVersion.cmake
    third_party/FindcJSON.cmake third_party/FindPCRE2.cmake third_party/Findutf8proc.cmake
    DESTINATION ${AR_CMAKE_DIR})

# The prefix is told from where anyround.pc lies, so that an installed tree can be moved.
set(AR_PC_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/${AR_PC_DIR}
    OUTPUT_VARIABLE AR_PC_PREFIX)
configure_file(cmake/anyround.pc.in ${PROJECT_BINARY_DIR}/anyround.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/anyround.pc DESTINATION ${AR_PC_DIR})
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
