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
file(GLOB millrace_scenarios CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/verify/scenarios/*.cc)
add_executable(verify_scenarios ${millrace_scenarios} ${millrace_checked_sources})
target_compile_definitions(verify_scenarios PRIVATE MILLRACE_CHECKED millrace=millrace_checked)
target_include_directories(verify_scenarios PRIVATE ${PROJECT_SOURCE_DIR}/verify/scenarios ${PROJECT_SOURCE_DIR}/src
                                                    ${PROJECT_SOURCE_DIR}/include)
target_compile_options(verify_scenarios PRIVATE -O2 -g1)  # reports find the lines of accesses in the line tables
target_link_libraries(verify_scenarios PRIVATE interleave::instrumented nlohmann_json::nlohmann_json)
if(TARGET millrace_sources)
  add_dependencies(verify_scenarios millrace_sources)
endif()
add_test(NAME verify.scenarios COMMAND verify_scenarios --quick --workers 2)
set_tests_properties(verify.scenarios PROPERTIES LABELS verify TIMEOUT 300)
