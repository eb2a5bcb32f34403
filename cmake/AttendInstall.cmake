# find_package(attend) after installation, as a shared or as a static library.
include(CMakePackageConfigHelpers)
install(TARGETS attend EXPORT attend-targets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT attend-targets NAMESPACE attend:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/attend)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/attend-config.cmake.in
  ${PROJECT_BINARY_DIR}/attend-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/attend)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/attend-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/attend-config.cmake ${PROJECT_BINARY_DIR}/attend-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/attend)
