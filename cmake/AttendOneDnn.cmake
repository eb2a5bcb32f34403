# oneDNN for sdpa/native/onednn. Its headers are needed to build the row; the library is opened when the row is first
# asked for (backends/native/onednn.cc), so that nothing links to it and a newer one may serve. tools/setup puts both
# into .onednn/; any other place goes into CMAKE_PREFIX_PATH.
set(ATTEND_ONEDNN AUTO CACHE STRING "Build the oneDNN row: AUTO (where the headers are found), ON (required) or OFF")
set_property(CACHE ATTEND_ONEDNN PROPERTY STRINGS AUTO ON OFF)

set(ATTEND_ONEDNN_LIBRARY "")  # the library that lies with the headers; tests name it
if(ATTEND_ONEDNN)  # AUTO, too
  find_package(dnnl 3.2 CONFIG QUIET HINTS ${PROJECT_SOURCE_DIR}/.onednn)
  if(dnnl_FOUND)
    get_target_property(onednn_include DNNL::dnnl INTERFACE_INCLUDE_DIRECTORIES)
    get_target_property(ATTEND_ONEDNN_LIBRARY DNNL::dnnl LOCATION)
  endif()
  if(dnnl_FOUND AND EXISTS ${onednn_include}/oneapi/dnnl/dnnl_graph.h)
    message(STATUS "oneDNN: built against ${dnnl_VERSION} in ${onednn_include}; opened at run time")
    get_filename_component(onednn_folder ${ATTEND_ONEDNN_LIBRARY} DIRECTORY)
    target_include_directories(attend SYSTEM PRIVATE ${onednn_include})
    target_compile_definitions(attend PRIVATE ATTEND_HAVE_ONEDNN)
    target_sources(attend PRIVATE backends/native/onednn.cc backends/native/onednn_plan.cc
      backends/native/sdpa_onednn.cc)
    # dlopen searches the caller's run path. Installation takes the folder out again.
    set_property(TARGET attend APPEND PROPERTY BUILD_RPATH ${onednn_folder})
  elseif(ATTEND_ONEDNN STREQUAL "AUTO")
    set(ATTEND_ONEDNN_LIBRARY "")
    message(STATUS "oneDNN: no headers of 3.2 or newer found; sdpa/native/onednn will refuse every call (tools/setup onednn)")
  else()
    message(FATAL_ERROR "ATTEND_ONEDNN is ${ATTEND_ONEDNN} and no headers of oneDNN 3.2 or newer are found; run "
      "'tools/setup onednn', or name their place in CMAKE_PREFIX_PATH")
  endif()
else()
  message(STATUS "oneDNN: not built (ATTEND_ONEDNN=${ATTEND_ONEDNN})")
endif()
