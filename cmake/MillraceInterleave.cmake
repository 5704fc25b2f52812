# The model checker, a project of its own. It takes the place of ThreadSanitizer's runtime and, under libFuzzer,
# nobody asks for it.
if(MILLRACE_SANITIZE MATCHES "thread" OR MILLRACE_FUZZ)
  return()
endif()
set(INTERLEAVE_TOOLS ${MILLRACE_TOOLS})
set(INTERLEAVE_TESTS ${MILLRACE_TESTS})
set(INTERLEAVE_EXAMPLES ${MILLRACE_EXAMPLES})
set(INTERLEAVE_WERROR ${MILLRACE_WERROR})
add_subdirectory(${PROJECT_SOURCE_DIR}/interleave)
