# The digest of the sources that are about to be compiled goes into the program: `millrace verify` tells by it whether the
# program was built from the sources that it looks at. It is computed in every build, before anything that goes into the
# program is compiled; what changes while that goes on makes the program stale, never the other way round.
set(millrace_built_from ${PROJECT_BINARY_DIR}/generated/verify/built_from.cc)
add_executable(millrace_source_digest ${PROJECT_SOURCE_DIR}/tools/source_digest/main.cc
  ${millrace_tool_folder}/verify/sha256.cc ${millrace_tool_folder}/verify/sources.cc)
target_include_directories(millrace_source_digest PRIVATE ${millrace_tool_folder})
target_link_libraries(millrace_source_digest PRIVATE fmt::fmt OpenSSL::Crypto millrace_compile_strict)
set_target_properties(millrace_source_digest PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/generated)

add_custom_target(millrace_sources
  COMMAND millrace_source_digest ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated/verify/sources.sha256
    ${millrace_built_from} ${PROJECT_BINARY_DIR}/bin
  BYPRODUCTS ${millrace_built_from}
  COMMENT "Digest of the sources"
  VERBATIM)

# millrace_after_source_digest(targets...): compiles them, and the layers, only once the digest is written down.
function(millrace_after_source_digest)
  get_property(layers GLOBAL PROPERTY MILLRACE_COMPILED_LAYERS)
  foreach(target ${layers} ${ARGN})
    add_dependencies(${target} millrace_sources)
  endforeach()
endfunction()
