# attend_options: how every file of the project is compiled; never exported.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(attend_options INTERFACE)
target_compile_options(attend_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-psabi)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(attend_options INTERFACE -Wno-restrict)  # GCC bug 105651: "text" + string is called an overlap
endif()
if(ATTEND_WERROR)
  target_compile_options(attend_options INTERFACE -Werror)
endif()
if(ATTEND_SANITIZE)
  add_compile_options(-fsanitize=${ATTEND_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ATTEND_SANITIZE})
endif()
