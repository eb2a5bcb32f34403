# cuDNN for sdpa/cuda/cudnn. The headers of cudnn-frontend, cuDNN and the CUDA runtime are needed to build the row; the
# library is opened when the row is first asked for (backends/cuda/cudnn_plan.cc), so that nothing links to it.
# tools/setup puts cudnn-frontend into .cudnn/; cuDNN's own headers come with a toolkit or with PyPI's nvidia-cudnn-cu13.
#
# target attend_cudnn: the one file that sees them, for the plugin and for its test.
set(ATTEND_CUDNN AUTO CACHE STRING "Build the cuDNN row: AUTO (where the headers are found), ON (required) or OFF")
set_property(CACHE ATTEND_CUDNN PROPERTY STRINGS AUTO ON OFF)

set(ATTEND_HAVE_CUDNN OFF)
if(ATTEND_SANITIZE AND ATTEND_CUDNN STREQUAL "AUTO")
  message(STATUS "cuDNN: not built with sanitizers, whose business it is not")
elseif(ATTEND_CUDNN)  # AUTO, too
  file(GLOB cudnn_packages ${PROJECT_SOURCE_DIR}/.cudnn/lib/python3*/site-packages)
  get_filename_component(cudnn_toolkit "${ATTEND_NVCC}" REALPATH)
  get_filename_component(cudnn_toolkit "${cudnn_toolkit}/../.." ABSOLUTE)
  set(cudnn_toolkits ${cudnn_packages}/nvidia/cudnn ${cudnn_toolkit} ${PROJECT_SOURCE_DIR}/.cuda/toolkit /usr/local/cuda)
  find_path(ATTEND_CUDNN_FRONTEND cudnn_frontend.h HINTS ${cudnn_packages}/include)
  find_path(ATTEND_CUDNN_INCLUDE cudnn.h HINTS ${cudnn_toolkits} PATH_SUFFIXES include)
  find_path(ATTEND_CUDART_INCLUDE cuda_runtime_api.h HINTS ${cudnn_toolkits} PATH_SUFFIXES include)
  if(ATTEND_CUDNN_FRONTEND AND ATTEND_CUDNN_INCLUDE AND ATTEND_CUDART_INCLUDE)
    set(ATTEND_HAVE_CUDNN ON)
    message(STATUS "cuDNN: built with the headers in ${ATTEND_CUDNN_FRONTEND} and ${ATTEND_CUDNN_INCLUDE}; opened at run time")
  else()
    set(cudnn_fault "no headers of cudnn-frontend, cuDNN 9 and the CUDA runtime found together; run 'tools/setup cudnn'")
    if(NOT ATTEND_CUDNN STREQUAL "AUTO")
      message(FATAL_ERROR "ATTEND_CUDNN is ${ATTEND_CUDNN}: ${cudnn_fault}")
    endif()
    message(STATUS "cuDNN: ${cudnn_fault}; sdpa/cuda/cudnn will refuse every call")
  endif()
else()
  message(STATUS "cuDNN: not built (ATTEND_CUDNN=${ATTEND_CUDNN})")
endif()

set(cudnn_source absent)
if(ATTEND_HAVE_CUDNN)
  set(cudnn_source plan)
endif()
add_library(attend_cudnn OBJECT ${PROJECT_SOURCE_DIR}/backends/cuda/cudnn_${cudnn_source}.cc)
target_compile_features(attend_cudnn PRIVATE cxx_std_20)
target_include_directories(attend_cudnn PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(attend_cudnn PRIVATE $<BUILD_INTERFACE:attend_options>)
if(ATTEND_HAVE_CUDNN)
  target_include_directories(attend_cudnn SYSTEM PRIVATE ${ATTEND_CUDNN_FRONTEND} ${ATTEND_CUDNN_INCLUDE} ${ATTEND_CUDART_INCLUDE})
  target_compile_definitions(attend_cudnn PRIVATE NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING)
  # Its work is cuDNN's: at -O3 it would only take longer to compile. g++ 12 warns inside the headers all the same.
  target_compile_options(attend_cudnn PRIVATE -O1 -w)
endif()
