# Builds and runs the consumer projects. WAY is "installed" (the current build, installed) or "embedded_static" (the
# source tree inside another project).
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(failed)
    message(FATAL_ERROR "${ARGN} failed (${failed}):\n${text}")
  endif()
  set(text "${text}" PARENT_SCOPE)
endfunction()

set(tools -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}
  -DCMAKE_BUILD_TYPE=${CONFIG})

# An installed copy under prefix: nothing in it may speak of the places where it was built, and it must work from
# another folder than the one it was installed to.
function(consume_installed build prefix)
  run(${CMAKE_COMMAND} --install ${build} --prefix ${prefix}-before --config ${CONFIG})
  file(RENAME ${prefix}-before ${prefix})
  file(GLOB_RECURSE scripts ${prefix}/*.cmake)
  if(NOT scripts)
    message(FATAL_ERROR "no package files below ${prefix}")
  endif()
  foreach(script IN LISTS scripts)
    file(READ ${script} words)
    foreach(place IN ITEMS ${SOURCE} ${BUILD} ${prefix}-before)
      string(FIND "${words}" "${place}" at)
      if(NOT at EQUAL -1)
        message(FATAL_ERROR "${script} names ${place}")
      endif()
    endforeach()
  endforeach()
  run(${CMAKE_COMMAND} -S ${HERE}/project -B ${prefix}-consumer ${tools} -DCMAKE_PREFIX_PATH=${prefix})
  run(${CMAKE_COMMAND} --build ${prefix}-consumer --config ${CONFIG})
  run(${prefix}-consumer/bin/consumer)
  message(STATUS "found below ${prefix}: ${text}")
endfunction()

file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})
if(WAY STREQUAL "installed")
  consume_installed(${BUILD} ${SCRATCH}/prefix)
else()
  # Kernels for GPUs would be compiled anew, for minutes; the installed copy brings the plugins of this build.
  run(${CMAKE_COMMAND} -S ${HERE}/embedding -B ${SCRATCH}/build ${tools} -DATTEND_SOURCE=${SOURCE}
    -DATTEND_CUDA=OFF -DATTEND_ROCM=OFF)
  run(${CMAKE_COMMAND} --build ${SCRATCH}/build --config ${CONFIG} -j 2)
  run(${SCRATCH}/build/bin/consumer)
  message(STATUS "embedded: ${text}")
  file(GLOB_RECURSE shared ${SCRATCH}/build/libattend.so*)
  if(shared)
    message(FATAL_ERROR "BUILD_SHARED_LIBS=OFF built ${shared}")
  endif()
  consume_installed(${SCRATCH}/build ${SCRATCH}/prefix)
  if(NOT EXISTS ${SCRATCH}/prefix/${LIBDIR}/libattend.a)
    message(FATAL_ERROR "no static library below ${SCRATCH}/prefix/${LIBDIR}")
  endif()
endif()
