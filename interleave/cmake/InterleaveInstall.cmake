# find_package(interleave) for those who install it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(interleave_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/interleave)
install(TARGETS interleave interleave_instrumented EXPORT interleave-targets COMPONENT interleave)
if(TARGET interleave_program)
  install(TARGETS interleave_program COMPONENT interleave)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/interleave DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT interleave)
install(EXPORT interleave-targets NAMESPACE interleave:: DESTINATION ${interleave_package_folder}
  COMPONENT interleave)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/interleave-config.cmake.in
  ${PROJECT_BINARY_DIR}/interleave-config.cmake INSTALL_DESTINATION ${interleave_package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/interleave-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/interleave-config.cmake ${PROJECT_BINARY_DIR}/interleave-config-version.cmake
  DESTINATION ${interleave_package_folder} COMPONENT interleave)
