# The command line: its file formats, its subcommands, and the program itself. The first two are
# libraries so that tests and fuzzers can link them.
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(ZLIB REQUIRED)

set(millrace_tool_folder ${PROJECT_SOURCE_DIR}/tools/millrace)

file(GLOB millrace_format_sources CONFIGURE_DEPENDS ${millrace_tool_folder}/formats/*.cc)
if(millrace_format_sources)
  add_library(millrace_tool_formats STATIC ${millrace_format_sources})
  target_include_directories(millrace_tool_formats PUBLIC ${millrace_tool_folder})
  target_link_libraries(millrace_tool_formats
    PUBLIC millrace nlohmann_json::nlohmann_json fmt::fmt PRIVATE ZLIB::ZLIB millrace_compile_strict)
endif()

file(GLOB_RECURSE millrace_tool_sources CONFIGURE_DEPENDS
  RELATIVE ${millrace_tool_folder} ${millrace_tool_folder}/*.cc)
list(FILTER millrace_tool_sources EXCLUDE REGEX "^main\\.cc$|^formats/")
if(MILLRACE_HAS_CUDA)
  # The benches' kernels, and not what stands for them.
  foreach(name gpu_latency gpu_peers spin_kernel)
    list(REMOVE_ITEM millrace_tool_sources bench/${name}_absent.cc)
    list(APPEND millrace_tool_sources bench/${name}.cu)
  endforeach()
endif()
list(TRANSFORM millrace_tool_sources PREPEND ${millrace_tool_folder}/)
if(MILLRACE_TOOLS AND millrace_tool_sources)
  find_package(CLI11 REQUIRED)
  find_package(spdlog REQUIRED)
  find_package(OpenSSL REQUIRED)
  include(MillraceSourceDigest)
  add_library(millrace_tool STATIC ${millrace_tool_sources} ${millrace_built_from})
  target_link_libraries(millrace_tool
    PUBLIC millrace_tool_formats CLI11::CLI11 spdlog::spdlog ${CMAKE_DL_LIBS}
    PRIVATE OpenSSL::Crypto millrace_compile_strict)

  if(MILLRACE_HAS_CUDA)
    target_link_libraries(millrace_tool PRIVATE CUDA::cudart_static)
  endif()

  # tools/peers/peer.h, the interface of what the bench opens.
  target_include_directories(millrace_tool PUBLIC ${PROJECT_SOURCE_DIR}/tools)

  # Option parsing and printing gain nothing from more, and take half a minute a file with it; what is timed
  # is in the library, but for the loops of the bench, of replay and of --compare.
  target_compile_options(millrace_tool PRIVATE $<$<CONFIG:Release>:-O1>)
  file(GLOB millrace_bench_alloc_sources CONFIGURE_DEPENDS ${millrace_tool_folder}/bench/alloc*.cc)
  set_source_files_properties(${millrace_bench_alloc_sources} ${millrace_tool_folder}/bench_small.cc
    ${millrace_tool_folder}/replay/runner.cc PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Release>:-O2>")
  set_source_files_properties(${millrace_tool_folder}/bench/read_floor.cc ${millrace_tool_folder}/compare_kernels.cc
    PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Release>:-O3>")

  # The bench carries the scripts of its Python peers: the program runs anywhere.
  foreach(name numpy torch)
    set(millrace_script ${PROJECT_SOURCE_DIR}/bench/peers/${name}_peer.py)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${millrace_script})
    file(READ ${millrace_script} millrace_${name}_script)
  endforeach()
  configure_file(${millrace_tool_folder}/bench/python_scripts.h.in
    ${PROJECT_BINARY_DIR}/generated/bench/python_scripts.h @ONLY)
  target_include_directories(millrace_tool PRIVATE ${PROJECT_BINARY_DIR}/generated)

  # Linking mimalloc would replace malloc in the whole program, glibc's column included: the bench
  # loads it by name instead.
  if(MILLRACE_BENCH)
    find_package(mimalloc QUIET)
    if(TARGET mimalloc)
      set_property(SOURCE ${millrace_tool_sources} APPEND PROPERTY
        COMPILE_DEFINITIONS MILLRACE_MIMALLOC_LIBRARY="$<TARGET_FILE:mimalloc>")
    endif()
  endif()

  if(EXISTS ${millrace_tool_folder}/main.cc)
    add_executable(millrace_program ${millrace_tool_folder}/main.cc)
    millrace_after_source_digest(millrace_tool_formats millrace_tool millrace_program)
    set_target_properties(millrace_program PROPERTIES OUTPUT_NAME millrace)
    target_link_libraries(millrace_program PRIVATE millrace_tool millrace_compile_strict)
    target_compile_options(millrace_program PRIVATE $<$<CONFIG:Release>:-O1>)
    install(TARGETS millrace_program COMPONENT tools)

    # Its CUDA peers, where the program looks for them: `cmake --build ... --target millrace_peers`. Each is
    # built if what it needs is found; the script says which are not.
    set(MILLRACE_PEER_CUDA_DIR "" CACHE PATH "The CUDA toolkit for the peers; empty: the one of nvcc")
    set(MILLRACE_PEER_TORCH_DIR "" CACHE PATH "The folder of the Python package torch; empty: as python3 finds it")
    set(MILLRACE_PEER_RMM_DIR "" CACHE PATH "The folder that holds the Python packages librmm and rapids_logger; empty: as python3 finds them")
    set(millrace_peer_environment "")
    foreach(name MILLRACE_PEER_CUDA_DIR MILLRACE_PEER_TORCH_DIR MILLRACE_PEER_RMM_DIR)
      if(${name})
        list(APPEND millrace_peer_environment ${name}=${${name}})
      endif()
    endforeach()
    set(millrace_peers_by_default "")
    if(MILLRACE_PEERS)
      set(millrace_peers_by_default ALL)
    endif()
    add_custom_target(millrace_peers ${millrace_peers_by_default}
      COMMAND ${CMAKE_COMMAND} -E env ${millrace_peer_environment}
        ${PROJECT_SOURCE_DIR}/scripts/build-peers $<TARGET_FILE_DIR:millrace_program>/peers
      VERBATIM)
  endif()
endif()
