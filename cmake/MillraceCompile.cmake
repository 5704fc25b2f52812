# How every target of ours is compiled: language, visibility, warnings, sanitizers.
add_library(millrace_compile INTERFACE)
target_compile_features(millrace_compile INTERFACE cxx_std_20)
set(millrace_cxx_options
  -fvisibility=hidden -fvisibility-inlines-hidden
  -Wall -Wextra -Wshadow -Wundef -Wnon-virtual-dtor -Woverloaded-virtual
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # GCC 12 sees overlaps in std::string that are none (GCC bug 105651)
  $<$<BOOL:${MILLRACE_WERROR}>:-Werror>)
# nvcc hands these to the compiler of the host's half. What it writes around our code is not free of -Wextra's
# and -Wshadow's warnings.
set(millrace_cuda_options -std=c++20 -Xcompiler=-Wall $<$<BOOL:${MILLRACE_WERROR}>:-Werror=all-warnings>)
target_compile_options(millrace_compile INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${millrace_cxx_options}>" "$<$<COMPILE_LANGUAGE:CUDA>:${millrace_cuda_options}>")

# Conversions are checked in what ships; tests are full of small literals.
add_library(millrace_compile_strict INTERFACE)
target_link_libraries(millrace_compile_strict INTERFACE millrace_compile)
target_compile_options(millrace_compile_strict INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wconversion;-Wno-sign-conversion>")

if(MILLRACE_SANITIZE)
  if(NOT PROJECT_IS_TOP_LEVEL)
    message(FATAL_ERROR "MILLRACE_SANITIZE works only in Millrace's own build: instrument the whole program instead")
  endif()
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${MILLRACE_SANITIZE};-fno-sanitize-recover=all;-fno-omit-frame-pointer>")
  add_link_options(-fsanitize=${MILLRACE_SANITIZE})
endif()
