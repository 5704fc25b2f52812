# fuzz/<format>_fuzz.cc: libFuzzer targets, each with its corpus and dictionary, run as tests.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "MILLRACE_FUZZ needs clang, found ${CMAKE_CXX_COMPILER_ID}: use the preset fuzz")
endif()
set(MILLRACE_FUZZ_SECONDS 10 CACHE STRING "How long each fuzzer searches when run as a test")

file(GLOB millrace_fuzzers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/fuzz/*_fuzz.cc)
foreach(source ${millrace_fuzzers})
  cmake_path(GET source STEM program)
  string(REGEX REPLACE "_fuzz$" "" format ${program})
  add_executable(${program} ${source})
  target_link_libraries(${program} PRIVATE millrace_tool_formats millrace_compile)
  target_link_options(${program} PRIVATE -fsanitize=fuzzer)

  set(flags -rss_limit_mb=2048 -timeout=10)
  if(EXISTS ${PROJECT_SOURCE_DIR}/fuzz/${format}.dict)
    list(APPEND flags -dict=${PROJECT_SOURCE_DIR}/fuzz/${format}.dict)
  endif()
  set(corpus ${PROJECT_SOURCE_DIR}/fuzz/corpus/${format})
  # What a search finds worth keeping lands in the build tree, never in the committed corpus.
  set(found ${PROJECT_BINARY_DIR}/fuzz/${format})
  file(MAKE_DIRECTORY ${found})

  add_test(NAME fuzz.${format}.corpus COMMAND ${program} ${flags} -runs=0 ${corpus})
  add_test(NAME fuzz.${format}.search
    COMMAND ${program} ${flags} -artifact_prefix=${found}. -max_total_time=${MILLRACE_FUZZ_SECONDS} ${found} ${corpus})
  math(EXPR limit "${MILLRACE_FUZZ_SECONDS} + 120")
  set_tests_properties(fuzz.${format}.corpus fuzz.${format}.search PROPERTIES LABELS fuzz TIMEOUT ${limit})
endforeach()
