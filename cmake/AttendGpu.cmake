# The two GPU backends: which compilers there are, how a kernel instance becomes device images, and the plugins that
# carry them. nvcc and clang are called by custom commands for device code alone; all host code is plain C++.
#
#   ATTEND_CUDA, ATTEND_ROCM   AUTO (where the compiler is found), ON (a missing compiler is an error) or OFF
#   ATTEND_GPU_IMAGES          empty: compiled here; a folder: images that another build of the same tree has made
#                              (<build>/gpu); NONE: no device code at all, for builds that execute kernels on the host
#   ATTEND_STAND_INS           the folder of the stand-in drivers that plugins open where ATTEND_SIMT=1 is set; by
#                              default that of this build's tests, and without tests none
set(ATTEND_CUDA AUTO CACHE STRING "Build the CUDA plugin: AUTO (where nvcc is found), ON (required) or OFF")
set(ATTEND_ROCM AUTO CACHE STRING "Build the ROCm plugin: AUTO (where clang for AMD GPUs is found), ON (required) or OFF")
set(ATTEND_GPU_IMAGES "" CACHE STRING "Device images: empty (compiled here), a folder that holds them, or NONE")
set(stand_ins "")
if(ATTEND_TESTS)
  set(stand_ins ${PROJECT_BINARY_DIR}/tests/simt/driver)
endif()
set(ATTEND_STAND_INS "${stand_ins}" CACHE PATH "Folder of stand-in drivers that plugins may open")
set_property(CACHE ATTEND_CUDA ATTEND_ROCM PROPERTY STRINGS AUTO ON OFF)

set(ATTEND_CUDA_ARCHS sm_80 sm_90a sm_100a)  # and PTX of sm_80 for every newer device
set(ATTEND_ROCM_ARCHS gfx90a gfx942 gfx1100)
if(ATTEND_GPU_IMAGES STREQUAL "" OR ATTEND_GPU_IMAGES STREQUAL "NONE")
  set(ATTEND_GPU_FOLDER ${PROJECT_BINARY_DIR}/gpu)
else()
  get_filename_component(ATTEND_GPU_FOLDER ${ATTEND_GPU_IMAGES} ABSOLUTE BASE_DIR ${PROJECT_SOURCE_DIR})
endif()

find_program(ATTEND_NVCC nvcc HINTS ${PROJECT_SOURCE_DIR}/.cuda/toolkit/bin $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
find_program(ATTEND_HIP_CLANG NAMES clang++-19 clang++-20 clang++-21 amdclang++ clang++ HINTS $ENV{ROCM_PATH}/llvm/bin /opt/rocm/llvm/bin)
set(ATTEND_NVCC_FLAGS -x cu -std=c++20 -O3 --expt-relaxed-constexpr -DNDEBUG)
set(ATTEND_HIP_FLAGS -x hip -std=c++20 -O3 -DNDEBUG -nogpuinc -nogpulib --offload-device-only --no-gpu-bundle-output)

# Sets <result> to "" if the command turns a nearly empty kernel into <output>, else to what it said. Asked once for
# each compiler.
function(attend_gpu_probe result compiler output)
  if(NOT "${ATTEND_GPU_PROBED_${output}}" STREQUAL "${compiler}")
    set(probe ${PROJECT_BINARY_DIR}/CMakeFiles/attend_gpu_probe.cc)
    file(WRITE ${probe} "extern \"C\" __attribute__((global)) void attend_probe(int* p) { *p = 1; }\n")
    execute_process(COMMAND ${compiler} ${ARGN} ${probe} -o ${PROJECT_BINARY_DIR}/CMakeFiles/attend_gpu_probe.${output}
      RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
    if(NOT status EQUAL 0)
      string(REGEX REPLACE "\n.*" "" said "${said}")
      set(${result} "${said}" PARENT_SCOPE)
      return()
    endif()
    set(ATTEND_GPU_PROBED_${output} ${compiler} CACHE INTERNAL "the compiler that has passed the probe")
  endif()
  set(${result} "" PARENT_SCOPE)
endfunction()

# Decides on ATTEND_HAVE_CUDA and ATTEND_HAVE_ROCM, and says at configure time what was left out and how to get it.
macro(attend_gpu_backend room what why advice)
  set(ATTEND_HAVE_${room} OFF)
  if(NOT ATTEND_${room})
    message(STATUS "${room}: not built (ATTEND_${room}=${ATTEND_${room}})")
  elseif(NOT ATTEND_GPU_IMAGES STREQUAL "")
    set(ATTEND_HAVE_${room} ON)
    message(STATUS "${room}: plugin with images of ${ATTEND_GPU_IMAGES}")
  elseif("${why}" STREQUAL "")
    set(ATTEND_HAVE_${room} ON)
    message(STATUS "${room}: plugin for ${ATTEND_${room}_ARCHS} by ${what}")
  elseif(ATTEND_${room} STREQUAL "AUTO")
    message(STATUS "${room}: plugin left out: ${why}; ${advice}")
  else()
    message(FATAL_ERROR "ATTEND_${room} is ${ATTEND_${room}}: ${why}; ${advice}")
  endif()
endmacro()

set(nvcc_fault "no nvcc found")
if(ATTEND_NVCC AND ATTEND_CUDA AND ATTEND_GPU_IMAGES STREQUAL "")
  attend_gpu_probe(nvcc_fault ${ATTEND_NVCC} cubin -x cu -std=c++20 -cubin -gencode arch=compute_100a,code=sm_100a)
  get_filename_component(nvcc_folder ${ATTEND_NVCC} REALPATH)
  get_filename_component(nvcc_folder ${nvcc_folder} DIRECTORY)
  foreach(tool IN ITEMS ptxas fatbinary)
    string(TOUPPER ATTEND_${tool} TOOL)
    find_program(${TOOL} ${tool} HINTS ${nvcc_folder} /usr/local/cuda/bin)
    if(NOT ${TOOL})
      set(nvcc_fault "no ${tool} beside ${ATTEND_NVCC}")
    endif()
  endforeach()
endif()
set(clang_fault "no clang for AMD GPUs found")
if(ATTEND_HIP_CLANG AND ATTEND_ROCM AND ATTEND_GPU_IMAGES STREQUAL "")
  attend_gpu_probe(clang_fault ${ATTEND_HIP_CLANG} co ${ATTEND_HIP_FLAGS} --offload-arch=gfx942 -c)
endif()
attend_gpu_backend(CUDA "${ATTEND_NVCC}" "${nvcc_fault}"
  "install a CUDA toolkit of 12.8 or newer, or run 'tools/setup cuda'")
attend_gpu_backend(ROCM "${ATTEND_HIP_CLANG}" "${clang_fault}"
  "install clang-19 and lld-19 (Debian), or run 'tools/setup rocm'")

foreach(room IN ITEMS cuda rocm)
  string(TOUPPER ${room} option)
  if(NOT ATTEND_HAVE_${option} OR ATTEND_GPU_IMAGES STREQUAL "NONE")
    add_custom_target(attend_${room}_images)  # nothing to do
  endif()
endforeach()

# How an instance becomes images; each function appends to `images` of its caller.
set(ATTEND_GPU_LAUNCHER "")
if(CMAKE_CXX_COMPILER_LAUNCHER MATCHES "ccache")
  set(ATTEND_GPU_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()
set(ATTEND_GPU_INCLUDES -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/include)

# PTX first, which the interpreter of tests/simt reads; the cubin is that very PTX, assembled, and the fatbin holds
# all cubins and the PTX of the oldest, which the driver compiles for newer devices than these.
function(attend_cuda_images stem)
  set(source ${PROJECT_SOURCE_DIR}/backends/gpu/instances/${stem}.cc)
  set(path ${ATTEND_GPU_FOLDER}/${stem})
  set(parts --image3=kind=ptx,sm=80,file=${path}.sm_80.ptx)
  set(files "")
  foreach(arch IN LISTS ATTEND_CUDA_ARCHS)
    set(image ${path}.${arch})
    string(REPLACE sm_ compute_ virtual ${arch})
    string(REPLACE sm_ "" number ${arch})
    add_custom_command(OUTPUT ${image}.ptx
      COMMAND ${ATTEND_NVCC} ${ATTEND_NVCC_FLAGS} -ptx -gencode arch=${virtual},code=${virtual} ${ATTEND_GPU_INCLUDES}
        -MD -MF ${image}.ptx.d ${source} -o ${image}.ptx
      DEPENDS ${source} DEPFILE ${image}.ptx.d COMMENT "nvcc ${stem} ${arch}" VERBATIM)
    add_custom_command(OUTPUT ${image}.cubin COMMAND ${ATTEND_PTXAS} -O3 -arch=${arch} ${image}.ptx -o ${image}.cubin
      DEPENDS ${image}.ptx COMMENT "ptxas ${stem} ${arch}" VERBATIM)
    list(APPEND parts --image3=kind=elf,sm=${number},file=${image}.cubin)
    list(APPEND files ${image}.cubin)
  endforeach()
  add_custom_command(OUTPUT ${path}.fatbin COMMAND ${ATTEND_FATBINARY} -64 --create=${path}.fatbin ${parts}
    DEPENDS ${files} ${path}.sm_80.ptx COMMENT "fatbinary ${stem}" VERBATIM)
endfunction()

function(attend_rocm_images stem)
  foreach(arch IN LISTS ATTEND_ROCM_ARCHS)
    set(image ${ATTEND_GPU_FOLDER}/${stem}.${arch}.co)
    set(source ${PROJECT_SOURCE_DIR}/backends/gpu/instances/${stem}.cc)
    add_custom_command(OUTPUT ${image}
      COMMAND ${ATTEND_GPU_LAUNCHER} ${ATTEND_HIP_CLANG} ${ATTEND_HIP_FLAGS} --offload-arch=${arch} ${ATTEND_GPU_INCLUDES}
        -MD -MF ${image}.d -MT ${image} -c ${source} -o ${image}
      DEPENDS ${source} DEPFILE ${image}.d COMMENT "clang ${stem} ${arch}" VERBATIM)
  endforeach()
endfunction()

# attend_gpu_images(<cuda | rocm>): the rules for all images of a backend; target attend_<room>_images, and
# <build>/gpu/<room>_images.inc, which names them for backends/gpu/host/images.cc.
function(attend_gpu_images room)
  get_property(instances GLOBAL PROPERTY ATTEND_GPU_INSTANCES)
  set(files "")
  set(lines "// Written by cmake/AttendGpu.cmake.\n")
  foreach(stem IN LISTS instances)
    if(ATTEND_GPU_IMAGES STREQUAL "")
      cmake_language(CALL attend_${room}_images ${stem})
    endif()
    set(images any=fatbin)
    if(room STREQUAL "rocm")
      list(TRANSFORM ATTEND_ROCM_ARCHS REPLACE "(.+)" "\\1=\\1.co" OUTPUT_VARIABLE images)
    endif()
    foreach(image IN LISTS images)
      string(REGEX REPLACE "=.*" "" arch ${image})
      string(REGEX REPLACE ".*=" "${ATTEND_GPU_FOLDER}/${stem}." file ${image})
      list(APPEND files ${file})
      string(APPEND lines "ATTEND_GPU_IMAGE(${stem}, ${arch}, \"${file}\")\n")
    endforeach()
  endforeach()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/gpu/${room}_images.inc CONTENT "${lines}" @ONLY)
  add_custom_target(attend_${room}_images ALL DEPENDS ${files})
  set(ATTEND_GPU_FILES ${files} PARENT_SCOPE)
endfunction()

# attend_gpu_plugin(<cuda | rocm> <sources>...): libattend_<room>.so, beside libattend in the build tree and where it
# is installed. It links nothing: the driver is opened at run time.
add_custom_target(attend_plugins)
function(attend_gpu_plugin room)
  if(NOT ATTEND_GPU_IMAGES STREQUAL "NONE")
    attend_gpu_images(${room})
  endif()
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/plugin.cc)
    return()  # until the plugin's entry is there
  endif()
  get_property(host GLOBAL PROPERTY ATTEND_GPU_HOST)
  add_library(attend_${room} MODULE ${ARGN} ${host})
  add_dependencies(attend_plugins attend_${room})
  target_compile_features(attend_${room} PRIVATE cxx_std_20)
  target_include_directories(attend_${room} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(attend_${room} PRIVATE $<BUILD_INTERFACE:attend_options> ${CMAKE_DL_LIBS})
  if(NOT ATTEND_GPU_IMAGES STREQUAL "NONE")
    add_dependencies(attend_${room} attend_${room}_images)
    target_compile_definitions(attend_${room} PRIVATE ATTEND_GPU_IMAGES="${PROJECT_BINARY_DIR}/gpu/${room}_images.inc")
    set_source_files_properties(${PROJECT_SOURCE_DIR}/backends/gpu/host/images.cc PROPERTIES
      OBJECT_DEPENDS "${ATTEND_GPU_FILES};${PROJECT_BINARY_DIR}/gpu/${room}_images.inc")
  endif()
  if(ATTEND_STAND_INS)
    target_compile_definitions(attend_${room} PRIVATE ATTEND_STAND_IN="${ATTEND_STAND_INS}/libstand_in_${room}.so")
  endif()
  set_target_properties(attend_${room} PROPERTIES PREFIX lib LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  if(ATTEND_PYTHON)  # beside the extension module, into which the library is linked
    install(TARGETS attend_${room} LIBRARY DESTINATION attend COMPONENT python)
  endif()
  install(TARGETS attend_${room} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT Unspecified)
endfunction()
