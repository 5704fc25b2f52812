# The cuda backend, where there is a CUDA compiler. Sets MILLRACE_HAS_CUDA.
set(MILLRACE_CUDA auto CACHE STRING "Build the cuda backend: auto (where nvcc is found), on, off")
set_property(CACHE MILLRACE_CUDA PROPERTY STRINGS auto on off)

set(MILLRACE_HAS_CUDA FALSE)
string(TOLOWER "${MILLRACE_CUDA}" millrace_cuda)
if(NOT millrace_cuda MATCHES "^(auto|on|off)$")
  message(FATAL_ERROR "MILLRACE_CUDA is '${MILLRACE_CUDA}': use auto, on or off")
endif()
if(millrace_cuda STREQUAL "off")
  return()
endif()

# The toolkit's own installer leaves nvcc outside of PATH.
find_program(MILLRACE_NVCC nvcc PATHS ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
mark_as_advanced(MILLRACE_NVCC)
if(NOT MILLRACE_NVCC AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  if(millrace_cuda STREQUAL "on")
    message(FATAL_ERROR
      "MILLRACE_CUDA is on but there is no nvcc in PATH, CUDA_PATH or /usr/local/cuda: install the CUDA toolkit, or set CMAKE_CUDA_COMPILER")
  endif()
  message(STATUS "No nvcc found: building without the cuda backend")
  return()
endif()
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  set(CMAKE_CUDA_COMPILER ${MILLRACE_NVCC} CACHE FILEPATH "The CUDA compiler")
endif()

# Code for what we measure on, and what the driver can compile for anything from Turing on.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90-real 75-virtual)
endif()
find_program(MILLRACE_CCACHE ccache)
mark_as_advanced(MILLRACE_CCACHE)
if(MILLRACE_CCACHE AND NOT DEFINED CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${MILLRACE_CCACHE})
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(MILLRACE_HAS_CUDA TRUE)

file(GLOB millrace_cuda_reduce_sources CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/src/backends/cuda/reduce/*.cc ${PROJECT_SOURCE_DIR}/src/backends/cuda/reduce/*.cu)
add_library(millrace_backend_cuda_reduce OBJECT ${millrace_cuda_reduce_sources})
target_link_libraries(millrace_backend_cuda_reduce
  PUBLIC millrace_internal CUDA::cudart_static PRIVATE millrace_compile_strict)
# CUDA_STANDARD 20 would say so too, but CMake 3.25 does not know it of this compiler.
target_compile_options(millrace_backend_cuda_reduce PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>)
set_target_properties(millrace_backend_cuda_reduce PROPERTIES
  POSITION_INDEPENDENT_CODE ON
  CUDA_VISIBILITY_PRESET hidden)
