# The library: one target a layer, all of them together as millrace::millrace.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(Boost REQUIRED)
find_package(hwy REQUIRED)

# What the core's own sources see. fmt and Boost.Intrusive are used header-only, so that the static
# library asks its users for neither.
add_library(millrace_internal INTERFACE)
target_include_directories(millrace_internal INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_include_directories(millrace_internal SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})
target_link_libraries(millrace_internal INTERFACE fmt::fmt-header-only Threads::Threads)

# millrace_layer(NAME [FOLDER folder under src, if not NAME] [DEPENDS layers...])
#
# Makes millrace_<NAME> of the *.cc in its folder: an OBJECT library, or an INTERFACE library while the
# folder has headers only. tests/layers holds the includes against src/README.md.
function(millrace_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FOLDER" "DEPENDS")
  if(NOT arg_FOLDER)
    set(arg_FOLDER ${name})
  endif()
  list(TRANSFORM arg_DEPENDS PREPEND millrace_ OUTPUT_VARIABLE depends)

  set(target millrace_${name})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS
    ${PROJECT_SOURCE_DIR}/src/${arg_FOLDER}/*.cc ${PROJECT_SOURCE_DIR}/src/${arg_FOLDER}/*.cu)
  if(sources)
    add_library(${target} OBJECT ${sources})
    target_link_libraries(${target} PUBLIC millrace_internal ${depends} PRIVATE millrace_compile_strict)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    set_property(GLOBAL APPEND PROPERTY MILLRACE_OBJECTS $<TARGET_OBJECTS:${target}>)
    set_property(GLOBAL APPEND PROPERTY MILLRACE_COMPILED_LAYERS ${target})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE millrace_internal ${depends})
  endif()
endfunction()

millrace_layer(sync)
millrace_layer(device DEPENDS sync)
millrace_layer(stream DEPENDS sync device)
millrace_layer(event DEPENDS sync device stream)
millrace_layer(memory DEPENDS sync device stream event)
millrace_layer(reduce DEPENDS sync device stream event memory)
millrace_layer(backend_host FOLDER backends/host DEPENDS sync device)
if(MILLRACE_HAS_CUDA)
  millrace_layer(backend_cuda FOLDER backends/cuda DEPENDS sync device)
  target_link_libraries(millrace_backend_cuda PUBLIC CUDA::cudart_static)
  set_target_properties(millrace_backend_cuda PROPERTIES CUDA_VISIBILITY_PRESET hidden)
  if(MILLRACE_REDUCE_VARIANTS)
    target_compile_definitions(millrace_backend_cuda PUBLIC MILLRACE_REDUCE_VARIANTS=${MILLRACE_REDUCE_VARIANTS})
  endif()
  set(millrace_backends backend_host backend_cuda)
  # What stands for the backend in builds without it.
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/api/cuda_absent.cc PROPERTIES HEADER_FILE_ONLY ON)
else()
  set(millrace_backends backend_host)
endif()
millrace_layer(api DEPENDS sync device stream event memory reduce ${millrace_backends})

# The loops of reductions are compiled for several instruction sets and chosen between when the program runs.
# They are written to be vectorised, also in builds that ask for debug information.
target_link_libraries(millrace_backend_host PRIVATE hwy::hwy)
file(GLOB millrace_kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backends/host/reduce/*.cc)
set_source_files_properties(${millrace_kernels} PROPERTIES
  COMPILE_OPTIONS "$<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-O3>")

get_property(millrace_objects GLOBAL PROPERTY MILLRACE_OBJECTS)

function(millrace_library target kind)
  add_library(${target} ${kind} ${millrace_objects})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME millrace
    LINKER_LANGUAGE CXX
    POSITION_INDEPENDENT_CODE ON
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
  target_link_libraries(${target} PUBLIC Threads::Threads PRIVATE hwy::hwy)
  if(MILLRACE_HAS_CUDA)
    target_link_libraries(${target} PRIVATE CUDA::cudart_static)
  endif()
endfunction()

millrace_library(millrace STATIC)
add_library(millrace::millrace ALIAS millrace)

if(MILLRACE_SHARED)
  millrace_library(millrace_shared SHARED)
  add_library(millrace::shared ALIAS millrace_shared)
  set_target_properties(millrace_shared PROPERTIES EXPORT_NAME shared)
  # nodelete: threads and thread-exit hooks may still run our code after a dlclose.
  target_link_options(millrace_shared PRIVATE
    -Wl,-z,nodelete -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/millrace.map)
  set_target_properties(millrace_shared PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/millrace.map)
endif()
