# One program a file; each exits 0 when it finds what it says.
file(GLOB interleave_examples CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/*.cc)
foreach(source ${interleave_examples})
  cmake_path(GET source STEM name)
  add_executable(interleave_example_${name} ${source})
  target_compile_options(interleave_example_${name} PRIVATE -g1)  # reports name lines
  target_link_libraries(interleave_example_${name} PRIVATE interleave::interleave interleave_compile)
  if(INTERLEAVE_TESTS)
    add_test(NAME interleave.examples.${name} COMMAND interleave_example_${name})
    set_tests_properties(interleave.examples.${name} PROPERTIES LABELS interleave TIMEOUT 120)
    add_dependencies(interleave_gtests interleave_example_${name})
  endif()
endforeach()
