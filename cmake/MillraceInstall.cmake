# find_package(millrace) for those who install it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(millrace_installed millrace)
if(MILLRACE_SHARED)
  list(APPEND millrace_installed millrace_shared)
endif()
set(millrace_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/millrace)

install(TARGETS ${millrace_installed} EXPORT millrace-targets COMPONENT library)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/millrace DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
install(EXPORT millrace-targets NAMESPACE millrace:: DESTINATION ${millrace_package_folder} COMPONENT library)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/millrace-config.cmake.in
  ${PROJECT_BINARY_DIR}/millrace-config.cmake INSTALL_DESTINATION ${millrace_package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/millrace-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/millrace-config.cmake ${PROJECT_BINARY_DIR}/millrace-config-version.cmake
  DESTINATION ${millrace_package_folder} COMPONENT library)
