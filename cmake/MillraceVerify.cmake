# The core in its flavour `checked`: the same files, over the model checker's primitives, in a namespace of their own so
# that nothing of it can be linked to the production flavour. Plain accesses are checked too.
if(NOT TARGET interleave)
  return()
endif()
file(GLOB millrace_checked_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/sync/*.cc)
file(GLOB millrace_scenarios CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/verify/scenarios/*.cc)
add_executable(verify_scenarios ${millrace_scenarios} ${millrace_checked_sources})
target_include_directories(verify_scenarios PRIVATE ${PROJECT_SOURCE_DIR}/verify/scenarios ${PROJECT_SOURCE_DIR}/src
                                                    ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(verify_scenarios PRIVATE MILLRACE_CHECKED millrace=millrace_checked)
target_link_libraries(verify_scenarios PRIVATE interleave::instrumented)
