# attend_add_test(<name> <sources>... [THREADS] [LIBRARIES <targets>...] [TIMEOUT <seconds>])
# A GoogleTest program and one ctest entry of the same name, labelled with its folder: starting a process for each
# of some thousand cases would take longer than the cases. Run one case by build/<preset>/tests/bin/<name>
# --gtest_filter=... THREADS marks what several threads run, for the thread sanitizer: label threads, target
# attend_threads.
add_custom_target(attend_threads)
function(attend_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "THREADS" "TIMEOUT" "LIBRARIES")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE attend_testing GTest::gtest_main ${arg_LIBRARIES})
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
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT ${arg_TIMEOUT})
endfunction()
