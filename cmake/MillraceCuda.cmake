# Looks for what the cuda backend is built with. Sets MILLRACE_HAS_CUDA.
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
# Kernels are the same whatever the configuration and the sanitizers, so that they are compiled once.
foreach(config DEBUG RELWITHDEBINFO MINSIZEREL)
  set(CMAKE_CUDA_FLAGS_${config} "${CMAKE_CUDA_FLAGS_RELEASE}")
endforeach()
find_package(CUDAToolkit REQUIRED)
# CCCL's headers, which nvcc finds by itself and the host's compiler does not in newer toolkits.
find_path(MILLRACE_CCCL cuda/memory_resource PATHS ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES cccl NO_DEFAULT_PATH)
mark_as_advanced(MILLRACE_CCCL)
set(MILLRACE_HAS_CUDA TRUE)
