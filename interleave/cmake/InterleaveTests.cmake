# The checker's own tests.
#
#   tests/*_test.cc               -> interleave_unit
#   tests/correct/*.cc            -> interleave_correct: programs that pass, with their counts
#   tests/wrong/*.cc              -> interleave_wrong: programs that fail, with the kind and the line
#   tests/instrumented/*.cc       -> interleave_instrumented_tests: the same for un-wrapped plain accesses
#   tests/locks/                  -> interleave_locks: programs with mutexes from standard input, for the oracle
#   tests/test_*.py, oracle/test_*.py -> one test each; exit 77 skips
find_package(GTest REQUIRED)
include(GoogleTest)
find_program(INTERLEAVE_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
find_program(INTERLEAVE_PYTHON NAMES python3 REQUIRED)

# interleave_gtest(program library sources...)
function(interleave_gtest program library)
  if(NOT ARGN)
    return()
  endif()
  add_executable(${program} ${ARGN})
  target_include_directories(${program} PRIVATE ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/src)
  target_compile_options(${program} PRIVATE
    -g1 $<$<CONFIG:Release>:-O1>)  # reports name lines; the tests' own code need not be fast to run
  target_compile_definitions(${program} PRIVATE INTERLEAVE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${program} PRIVATE ${library} GTest::gmock GTest::gtest GTest::gmock_main interleave_compile)
  add_dependencies(interleave_gtests ${program})
  gtest_discover_tests(${program}
    DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 TEST_PREFIX ${program}. PROPERTIES LABELS interleave TIMEOUT 600)
endfunction()

file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/*_test.cc)
interleave_gtest(interleave_unit interleave ${sources})
file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/correct/*.cc)
interleave_gtest(interleave_correct interleave ${sources})
file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/wrong/*.cc)
interleave_gtest(interleave_wrong interleave ${sources})
file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/instrumented/*.cc)
if(MILLRACE_SANITIZE OR CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  return()  # what is instrumented for a sanitizer can't be for interleave; the scripts are for the speed of a release
endif()
interleave_gtest(interleave_instrumented_tests interleave_instrumented ${sources})
if(NOT TARGET interleave_program)
  return()  # what the scripts run
endif()

add_executable(interleave_locks ${PROJECT_SOURCE_DIR}/tests/locks/main.cc)
target_include_directories(interleave_locks PRIVATE ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(interleave_locks PRIVATE interleave interleave_compile)

file(GLOB scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/test_*.py ${PROJECT_SOURCE_DIR}/oracle/test_*.py)
foreach(script ${scripts})
  cmake_path(GET script STEM name)
  string(REGEX REPLACE "^test_" "" name ${name})
  add_test(NAME interleave.${name} COMMAND ${INTERLEAVE_PYTHON} ${script})
  set_tests_properties(interleave.${name} PROPERTIES LABELS interleave TIMEOUT 900 SKIP_RETURN_CODE 77
    ENVIRONMENT "INTERLEAVE_PROGRAM=$<TARGET_FILE:interleave_program>;INTERLEAVE_LOCKS=$<TARGET_FILE:interleave_locks>;INTERLEAVE_SOURCE_DIR=${PROJECT_SOURCE_DIR};INTERLEAVE_BUILD_DIR=${PROJECT_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
endforeach()
