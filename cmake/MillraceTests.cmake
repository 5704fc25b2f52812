# The tests: GoogleTest programs a folder, Python programs, the rules of the house.
#
#   tests/unit/<layer>/*_test.cc   -> unit_<layer>, sees src/
#   tests/conformance/*_test.cc    -> conformance, on the host backend; cuda.conformance, where that is built
#   tests/gpu/*_test.cc, *.cu      -> gpu, on a real GPU only
#   tests/lifecycle/*.cc           -> one program and one test each; *_plugin.cc -> a module they load
#   tests/<folder>/test_*.py       -> one test each; exit 77 skips
#   tests/<folder>/*_driver.cc     -> a program beside the Python tests that drive it
#   tests/<folder>/*_peer.cc       -> a module of its name in test_peers/, for the bench to open
find_package(GTest REQUIRED)
if(MILLRACE_HAS_CUDA)
  add_library(millrace_cccl INTERFACE)
  if(MILLRACE_CCCL)
    target_include_directories(millrace_cccl SYSTEM INTERFACE ${MILLRACE_CCCL})
  endif()
endif()
include(GoogleTest)

# The system's interpreter first: it is the one that Debian's python3-numpy belongs to.
find_program(MILLRACE_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
find_program(MILLRACE_PYTHON NAMES python3 REQUIRED)

set(millrace_tests ${PROJECT_SOURCE_DIR}/tests)

file(GLOB millrace_support_sources CONFIGURE_DEPENDS ${millrace_tests}/support/*.cc)
if(NOT MILLRACE_HAS_CUDA)
  list(FILTER millrace_support_sources EXCLUDE REGEX "/fake_(cuda|kernels|machine)\\.cc$")
endif()
if(millrace_support_sources)
  add_library(millrace_test_support STATIC ${millrace_support_sources})
  target_link_libraries(millrace_test_support PRIVATE millrace_compile)
  if(MILLRACE_HAS_CUDA)
    target_link_libraries(millrace_test_support PUBLIC CUDA::cudart_static)
    target_compile_definitions(millrace_test_support PUBLIC MILLRACE_HAS_CUDA=1)
  endif()
  set(scope PUBLIC)
else()
  add_library(millrace_test_support INTERFACE)
  set(scope INTERFACE)
endif()
target_include_directories(millrace_test_support ${scope} ${millrace_tests})
target_link_libraries(millrace_test_support ${scope}
  millrace millrace_internal GTest::gmock GTest::gtest ${CMAKE_DL_LIBS})
target_compile_definitions(millrace_test_support ${scope}
  MILLRACE_TEST_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
  $<$<TARGET_EXISTS:millrace_shared>:MILLRACE_TEST_SHARED_LIBRARY="$<TARGET_FILE:millrace_shared>">)

# All the GoogleTest programs, for builds that want nothing else; and those of the library alone, which need not the
# command line's hundred files.
add_custom_target(millrace_library_gtests)
add_custom_target(millrace_gtests)
add_dependencies(millrace_gtests millrace_library_gtests)

# millrace_gtest(program folder label): all *_test.cc of a folder as one program.
function(millrace_gtest program folder label)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cc ${folder}/*.cu)
  if(NOT sources)
    return()
  endif()
  add_executable(${program} ${sources})
  target_link_libraries(${program} PRIVATE millrace_test_support GTest::gmock_main millrace_compile ${ARGN})
  # The tests' own code need not be fast to run, but quick to build; the library keeps its flags.
  target_compile_options(${program} PRIVATE $<$<CONFIG:Release>:-O1>)
  if(TARGET millrace_shared)
    add_dependencies(${program} millrace_shared)
  endif()
  if("millrace_tool" IN_LIST ARGN)
    add_dependencies(millrace_gtests ${program})
  else()
    add_dependencies(millrace_library_gtests ${program})
  endif()
  gtest_discover_tests(${program}
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    TEST_PREFIX ${program}.
    PROPERTIES LABELS ${label} TIMEOUT 600)
endfunction()

file(GLOB millrace_unit_folders CONFIGURE_DEPENDS LIST_DIRECTORIES true ${millrace_tests}/unit/*)
foreach(folder ${millrace_unit_folders})
  if(IS_DIRECTORY ${folder})
    cmake_path(GET folder FILENAME layer)
    if(layer MATCHES "^backend_cuda" AND NOT MILLRACE_HAS_CUDA)
      continue()
    endif()
    # The program's own operator new, which refuses, comes with the library.
    if(layer STREQUAL "backend_cuda_faults" AND NOT TARGET millrace_tool)
      continue()
    endif()
    set(libraries "")
    if(layer STREQUAL "backend_cuda_faults")
      set(libraries millrace_tool CUDA::cudart_static)
    endif()
    if(layer STREQUAL "backend_cuda")
      set(libraries CUDA::cudart_static millrace_cccl)
    endif()
    if(layer STREQUAL "tools")
      foreach(library millrace_tool millrace_tool_formats ZLIB::ZLIB)
        if(TARGET ${library})
          list(APPEND libraries ${library})
        endif()
      endforeach()
    endif()
    millrace_gtest(unit_${layer} ${folder} unit ${libraries})
  endif()
endforeach()
millrace_gtest(conformance ${millrace_tests}/conformance conformance)

# All of it again as one test, as if the host could not touch the memory of its device: the ways that tests
# take on a GPU.
add_test(NAME conformance.copies COMMAND conformance)
set_tests_properties(conformance.copies PROPERTIES
  LABELS conformance TIMEOUT 1200 ENVIRONMENT MILLRACE_TEST_COPIES=1)
# And on a GPU. What is looked for stands in tests/conformance/device_environment.cc; the reason follows it.
if(MILLRACE_HAS_CUDA)
  add_test(NAME cuda.conformance.all COMMAND conformance)
  set_tests_properties(cuda.conformance.all PROPERTIES
    LABELS gpu TIMEOUT 1200 ENVIRONMENT MILLRACE_TEST_DEVICE=cuda:0
    SKIP_REGULAR_EXPRESSION "every test is skipped: ")
  millrace_gtest(gpu ${millrace_tests}/gpu gpu CUDA::cudart_static millrace_cccl)
  # And over a driver that plays the device, on any machine. It runs no kernels, and its streams are threads.
  add_test(NAME conformance.fake_cuda
    COMMAND conformance --gtest_filter=-Reduce*:GuardStates.Open:GuardStates.Forked:Accounting.TenThousand*)
  set_tests_properties(conformance.fake_cuda PROPERTIES
    LABELS conformance TIMEOUT 1200 ENVIRONMENT "MILLRACE_TEST_FAKE_CUDA=1;MILLRACE_TEST_DEVICE=cuda:0")
  # And as on a device that maps no memory into reserved addresses.
  add_test(NAME conformance.fake_cuda_segments
    COMMAND conformance --gtest_filter=-Reduce*:GuardStates.Open:GuardStates.Forked:Accounting.TenThousand*)
  set_tests_properties(conformance.fake_cuda_segments PROPERTIES
    LABELS conformance TIMEOUT 1200
    ENVIRONMENT "MILLRACE_TEST_FAKE_CUDA=1;MILLRACE_TEST_DEVICE=cuda:0;MILLRACE_CUDA_VIRTUAL_MEMORY=off")
endif()

# Programs that fork, exit or unload: each ends in its own way, with status 0 if all went well.
file(GLOB millrace_lifecycle_sources CONFIGURE_DEPENDS ${millrace_tests}/lifecycle/*.cc)
foreach(source ${millrace_lifecycle_sources})
  cmake_path(GET source STEM name)
  set(program lifecycle_${name})
  if(name MATCHES "_plugin$")
    continue()
  endif()
  set(plugin ${millrace_tests}/lifecycle/${name}_plugin.cc)
  if(EXISTS ${plugin})
    if(NOT TARGET millrace_shared)
      continue()
    endif()
    add_library(${program}_plugin MODULE ${plugin})
    target_include_directories(${program}_plugin PRIVATE ${millrace_tests})
    target_link_libraries(${program}_plugin PRIVATE millrace_shared millrace_compile)
    set_source_files_properties(${source} PROPERTIES
      COMPILE_DEFINITIONS MILLRACE_TEST_PLUGIN="$<TARGET_FILE:${program}_plugin>")
  endif()
  add_executable(${program} ${source})
  target_link_libraries(${program} PRIVATE millrace_test_support millrace_compile)
  if(TARGET ${program}_plugin)
    add_dependencies(${program} ${program}_plugin)
  endif()
  add_dependencies(millrace_library_gtests ${program})
  add_test(NAME lifecycle.${name} COMMAND ${program})
  # They end while their own threads make and join threads: one may be between the two.
  set_tests_properties(lifecycle.${name} PROPERTIES
    LABELS conformance TIMEOUT 300
    ENVIRONMENT_MODIFICATION "TSAN_OPTIONS=string_append::report_thread_leaks=0")
endforeach()

file(GLOB millrace_drivers CONFIGURE_DEPENDS ${millrace_tests}/*/*_driver.cc)
foreach(source ${millrace_drivers})
  cmake_path(GET source STEM program)
  add_executable(${program} ${source})
  target_link_libraries(${program} PRIVATE millrace_test_support nlohmann_json::nlohmann_json millrace_compile)
endforeach()

file(GLOB millrace_test_peers CONFIGURE_DEPENDS ${millrace_tests}/*/*_peer.cc)
foreach(source ${millrace_test_peers})
  cmake_path(GET source STEM name)
  add_library(test_${name} MODULE ${source})
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tools)
  target_link_libraries(test_${name} PRIVATE millrace_compile)
  set_target_properties(test_${name} PROPERTIES
    PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/test_peers)
endforeach()

set(millrace_python_environment
  MILLRACE_SOURCE_DIR=${PROJECT_SOURCE_DIR}
  MILLRACE_BUILD_DIR=${PROJECT_BINARY_DIR}
  MILLRACE_BIN_DIR=${PROJECT_BINARY_DIR}/bin
  MILLRACE_PROGRAM=${PROJECT_BINARY_DIR}/bin/millrace
  MILLRACE_TEST_PEERS=${PROJECT_BINARY_DIR}/test_peers
  PYTHONPATH=${millrace_tests}/support
  PYTHONDONTWRITEBYTECODE=1)

file(GLOB millrace_python_tests CONFIGURE_DEPENDS ${millrace_tests}/*/test_*.py)
foreach(script ${millrace_python_tests})
  cmake_path(GET script STEM name)
  cmake_path(GET script PARENT_PATH folder)
  cmake_path(GET folder FILENAME folder)
  string(REGEX REPLACE "^test_" "" name ${name})
  add_test(NAME ${folder}.${name} COMMAND ${MILLRACE_PYTHON} ${script})
  set_tests_properties(${folder}.${name} PROPERTIES
    LABELS ${folder} TIMEOUT 900 SKIP_RETURN_CODE 77 ENVIRONMENT "${millrace_python_environment}")
endforeach()

add_test(NAME layers.source COMMAND ${MILLRACE_PYTHON} ${millrace_tests}/layers/check_layers.py ${PROJECT_SOURCE_DIR})
add_test(NAME docs.public_headers COMMAND ${MILLRACE_PYTHON} ${PROJECT_SOURCE_DIR}/scripts/check_docs.py ${PROJECT_SOURCE_DIR})
set_tests_properties(layers.source docs.public_headers PROPERTIES LABELS layers TIMEOUT 60)
