# The core in its flavour `checked`: the same files over the model checker's primitives, in a namespace of their own so
# that nothing of it can be linked with the production flavour. Plain accesses are checked too.
if(NOT TARGET interleave OR MILLRACE_SANITIZE)
  return()
endif()
set(millrace_checked_sources)
foreach(layer sync device stream event memory)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${layer}/*.cc)
  list(APPEND millrace_checked_sources ${sources})
endforeach()
# The queues of the backends, whose driver or loops over memory scenarios play.
foreach(source chaos queue)
  list(APPEND millrace_checked_sources ${PROJECT_SOURCE_DIR}/src/backends/host/${source}.cc)
endforeach()
file(GLOB millrace_scenarios CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/verify/scenarios/*.cc)
if(MILLRACE_HAS_CUDA)
  foreach(source capture completion device_clock gather held lent_events native_stream owner peers pinned queue
                 ranges stop task_threads watcher wrapped)
    list(APPEND millrace_checked_sources ${PROJECT_SOURCE_DIR}/src/backends/cuda/${source}.cc)
  endforeach()
  # What shares launches, up to the launch.
  foreach(source cut cut_order cut_splits cut_ways hazards pack packs plan tickets)
    list(APPEND millrace_checked_sources ${PROJECT_SOURCE_DIR}/src/backends/cuda/reduce/${source}.cc)
  endforeach()
else()
  list(FILTER millrace_scenarios EXCLUDE REGEX "/(tiny_cuda|cuda_[a-z_]+)\\.cc$")
endif()
add_executable(verify_scenarios ${millrace_scenarios} ${millrace_checked_sources})
target_compile_definitions(verify_scenarios PRIVATE MILLRACE_CHECKED millrace=millrace_checked)
target_include_directories(verify_scenarios PRIVATE ${PROJECT_SOURCE_DIR}/verify/scenarios ${PROJECT_SOURCE_DIR}/src
                                                    ${PROJECT_SOURCE_DIR}/include)
target_compile_options(verify_scenarios PRIVATE -O2 -g1)  # reports find the lines of accesses in the line tables
target_link_libraries(verify_scenarios PRIVATE interleave::instrumented nlohmann_json::nlohmann_json)
if(MILLRACE_HAS_CUDA)
  target_include_directories(verify_scenarios SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
endif()
if(TARGET millrace_sources)
  add_dependencies(verify_scenarios millrace_sources)
endif()
set(millrace_verify_environment MILLRACE_SOURCE_DIR=${PROJECT_SOURCE_DIR} MILLRACE_BUILD_DIR=${PROJECT_BINARY_DIR}
                                PYTHONDONTWRITEBYTECODE=1)
# Notes what each scenario showed, and who came by which lines, for the two after it.
set(millrace_results ${PROJECT_BINARY_DIR}/verify_scenarios.jsonl)
set(millrace_sites_seen ${PROJECT_BINARY_DIR}/verify_sites.jsonl)
add_test(NAME verify.scenarios
  COMMAND verify_scenarios --quick --workers 2 --results ${millrace_results} --sites ${millrace_sites_seen})
set_tests_properties(verify.scenarios PROPERTIES LABELS verify TIMEOUT 1200 FIXTURES_SETUP millrace_scenarios_ran)
# The invariants' pages count the executions of what ships; assertions have operations of their own.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_test(NAME verify.invariants
    COMMAND ${MILLRACE_PYTHON} ${PROJECT_SOURCE_DIR}/verify/invariants/test_invariants.py)
  set_tests_properties(verify.invariants PROPERTIES
    LABELS verify TIMEOUT 1200 FIXTURES_REQUIRED millrace_scenarios_ran ENVIRONMENT "${millrace_verify_environment}")
endif()
add_test(NAME verify.sites
  COMMAND ${MILLRACE_PYTHON} ${PROJECT_SOURCE_DIR}/verify/sites/sites.py --sites ${millrace_sites_seen})
set_tests_properties(verify.sites PROPERTIES
  LABELS verify TIMEOUT 120 FIXTURES_REQUIRED millrace_scenarios_ran ENVIRONMENT "${millrace_verify_environment}")

# Exits with 77 where the objects are not built.
add_test(NAME verify.flavours COMMAND ${MILLRACE_PYTHON} ${PROJECT_SOURCE_DIR}/verify/flavours/test_flavours.py)
set_tests_properties(verify.flavours PROPERTIES LABELS verify TIMEOUT 120 SKIP_RETURN_CODE 77
  ENVIRONMENT "${millrace_verify_environment}")

# A third of the mutants, as many of them as there is time for, or with MILLRACE_TEST_FULL in the environment all.
add_test(NAME verify.mutants
  COMMAND ${MILLRACE_PYTHON} ${PROJECT_SOURCE_DIR}/verify/mutants/mutate.py --build ${PROJECT_BINARY_DIR} --third --within 300)
add_test(NAME verify.mutants_page COMMAND ${MILLRACE_PYTHON} ${PROJECT_SOURCE_DIR}/verify/mutants/test_mutants.py)
set_tests_properties(verify.mutants verify.mutants_page PROPERTIES
  LABELS verify TIMEOUT 1200 ENVIRONMENT "MILLRACE_SOURCE_DIR=${PROJECT_SOURCE_DIR};PYTHONDONTWRITEBYTECODE=1")
# It compiles on every processor.
cmake_host_system_information(RESULT millrace_processors QUERY NUMBER_OF_LOGICAL_CORES)
set_tests_properties(verify.mutants PROPERTIES PROCESSORS ${millrace_processors})
