# attend_add_test(<name> <sources>... [THREADS] [SIMT] [LIBRARIES <targets>...] [TIMEOUT <seconds>] [DEVICES <shards>])
# A GoogleTest program and one ctest entry of the same name, labelled with its folder: starting a process for each
# of some thousand cases would take longer than the cases. Run one case by build/<preset>/tests/bin/<name>
# --gtest_filter=... THREADS marks what several threads run, for the thread sanitizer: label threads, target
# attend_threads. DEVICES marks what runs on the rows of any device (tests/support/devices.h): for each plugin of the
# build so many entries more, <name>_cuda_1 and so on, label simt, each with a part of the tests.
add_custom_target(attend_threads)
add_custom_target(attend_simt_tests)  # likewise, what has the label simt

# What nearly every test includes, compiled once; ccache and precompiled headers do not go together.
if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
  file(WRITE ${PROJECT_BINARY_DIR}/CMakeFiles/attend_test_headers.cc "")
  add_executable(attend_test_headers EXCLUDE_FROM_ALL ${PROJECT_BINARY_DIR}/CMakeFiles/attend_test_headers.cc)
  target_link_libraries(attend_test_headers PRIVATE attend_testing GTest::gtest_main)
  target_precompile_headers(attend_test_headers PRIVATE <gtest/gtest.h> <algorithm> <cmath> <cstring> <functional>
    <limits> <memory> <string> <vector> "${PROJECT_SOURCE_DIR}/include/attend/operator.h")
endif()
# Undefined behaviour is looked for in the library; tests with checks of their own code, optimised, would take three
# times as long to compile.
if(ATTEND_SANITIZE MATCHES "undefined")
  set(attend_test_options -O0 -fno-sanitize=undefined)
endif()
if(TARGET attend_test_headers)
  target_compile_options(attend_test_headers PRIVATE ${attend_test_options})
endif()
function(attend_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "THREADS;SIMT" "TIMEOUT;DEVICES" "LIBRARIES")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE attend_testing GTest::gtest_main ${arg_LIBRARIES})
  target_compile_options(${name} PRIVATE ${attend_test_options})
  if(TARGET attend_test_headers)
    target_precompile_headers(${name} REUSE_FROM attend_test_headers)
  endif()
  target_compile_definitions(${name} PRIVATE
    ATTEND_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data" ATTEND_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/bin)
  get_filename_component(room ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set(labels ${room})
  if(arg_THREADS)
    list(APPEND labels threads)
    add_dependencies(attend_threads ${name})
  endif()
  if(arg_SIMT OR CMAKE_CURRENT_SOURCE_DIR MATCHES "/tests/simt(/|$)")
    list(APPEND labels simt)
    add_dependencies(attend_simt_tests ${name})
  endif()
  list(REMOVE_DUPLICATES labels)
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT ${arg_TIMEOUT}
    COST ${arg_TIMEOUT})  # the longest begin first
  if(arg_DEVICES)
    attend_test_on_devices(${name} ${arg_DEVICES} ${room})
  endif()
endfunction()

# The entries of one program on the devices of the plugins, which stand-in drivers execute on the host, or with
# ATTEND_TEST_REAL_DEVICES the machine's own.
option(ATTEND_TEST_REAL_DEVICES "Tests labelled simt run on this machine's GPUs instead of the stand-in drivers" OFF)
function(attend_test_on_devices name shards room)
  foreach(backend IN ITEMS cuda rocm)
    foreach(shard RANGE 1 ${shards})
      math(EXPR index "${shard} - 1")
      attend_test_on_device(${name} ${backend} ${shard} ${room}_on_devices
        "GTEST_TOTAL_SHARDS=${shards}" "GTEST_SHARD_INDEX=${index}")
    endforeach()
  endforeach()
endfunction()

# One entry, <name>_<backend>_<suffix>, where the plugin is built. Interpreters need the images of the kernels.
function(attend_test_on_device name backend suffix label)
  if(NOT TARGET attend_${backend} OR (label STREQUAL "interpreters" AND ATTEND_GPU_IMAGES STREQUAL "NONE"))
    return()
  endif()
  add_dependencies(${name} attend_${backend})
  add_dependencies(attend_simt_tests ${name})
  set(environment "ATTEND_TEST_DEVICES=${backend}" "ATTEND_BACKENDS=${backend}"
    "ATTEND_BACKEND_PATH=$<TARGET_FILE_DIR:attend_${backend}>" ${ARGN})
  if(NOT ATTEND_TEST_REAL_DEVICES)
    list(APPEND environment "ATTEND_SIMT=1")
  endif()
  # One program under many names: each entry says where its own report goes (tools/tally).
  list(APPEND environment "GTEST_OUTPUT=xml:${PROJECT_BINARY_DIR}/tests/reports/${name}_${backend}_${suffix}.xml")
  add_test(NAME ${name}_${backend}_${suffix} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name}_${backend}_${suffix} PROPERTIES LABELS "simt;${label}" TIMEOUT 900
    ENVIRONMENT "${environment}")
endfunction()
