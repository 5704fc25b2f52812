# The package as a user would use it: installed and found, added as a folder, each header alone.
set(millrace_package_tests ${PROJECT_SOURCE_DIR}/tests/package)
set(millrace_package_work ${PROJECT_BINARY_DIR}/package)

set(millrace_consumer_options
  -G ${CMAKE_GENERATOR}
  -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}
  -DCMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}
  -DCMAKE_BUILD_TYPE=${CMAKE_BUILD_TYPE})
if(MILLRACE_HAS_CUDA)
  # A file, since a list would not pass two command lines. With the same architectures the compiler's cache knows the
  # kernels, which take minutes.
  file(CONFIGURE OUTPUT generated/consumer_cache.cmake CONTENT
    "set(CMAKE_CUDA_ARCHITECTURES \"${CMAKE_CUDA_ARCHITECTURES}\" CACHE STRING \"\")\n")
  list(APPEND millrace_consumer_options
    -C${PROJECT_BINARY_DIR}/generated/consumer_cache.cmake
    -DCMAKE_CUDA_COMPILER_LAUNCHER=${CMAKE_CUDA_COMPILER_LAUNCHER})
endif()
if(MILLRACE_SANITIZE)
  list(APPEND millrace_consumer_options -DCMAKE_CXX_FLAGS=-fsanitize=${MILLRACE_SANITIZE})
endif()

add_test(NAME package.install
  COMMAND ${CMAKE_COMMAND} --install ${PROJECT_BINARY_DIR} --prefix ${millrace_package_work}/prefix --component library)
set_tests_properties(package.install PROPERTIES FIXTURES_SETUP millrace_installed)

add_test(NAME package.find_package
  COMMAND ${CMAKE_CTEST_COMMAND} --build-and-test ${millrace_package_tests}/find_package ${millrace_package_work}/find_package
    --build-generator ${CMAKE_GENERATOR} --build-options ${millrace_consumer_options}
    -DCMAKE_PREFIX_PATH=${millrace_package_work}/prefix
    -DCONSUMER_EXPECTS_VERSION=${PROJECT_VERSION}
    -DCONSUMER_EXPECTS_SHARED=${MILLRACE_SHARED}
    -DCONSUMER_HAS_CCCL=${MILLRACE_CCCL}
    --test-command ${CMAKE_CTEST_COMMAND} --output-on-failure)
set_tests_properties(package.find_package PROPERTIES FIXTURES_REQUIRED millrace_installed)

# MILLRACE_WERROR, and a folder beside this one rather than in it, only so that a compiler cache recognises the
# objects of this very build: it sees paths relative to the folder in which the compiler runs.
add_test(NAME package.add_subdirectory
  COMMAND ${CMAKE_CTEST_COMMAND} --build-and-test ${millrace_package_tests}/add_subdirectory
    ${PROJECT_BINARY_DIR}-add_subdirectory
    --build-generator ${CMAKE_GENERATOR} --build-options ${millrace_consumer_options}
    -DMILLRACE_WERROR=${MILLRACE_WERROR} -DMILLRACE_FOLDER=${PROJECT_SOURCE_DIR}
    --test-command ${CMAKE_CTEST_COMMAND} --output-on-failure)
set_tests_properties(package.install package.find_package package.add_subdirectory PROPERTIES
  LABELS package TIMEOUT 1800)

file(GLOB millrace_public_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/millrace/*.h)
foreach(header ${millrace_public_headers})
  cmake_path(GET header STEM name)
  add_test(NAME package.header.${name}
    COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -Wall -Wextra -Wshadow -Wconversion -Wundef -Werror
      -fsyntax-only -I ${PROJECT_SOURCE_DIR}/include -include millrace/${name}.h -x c++ /dev/null)
  set_tests_properties(package.header.${name} PROPERTIES LABELS package TIMEOUT 60)
endforeach()

# Those for CUDA, where that is: with the toolkit's CCCL, whose newer headers tests/interop looks at.
if(MILLRACE_HAS_CUDA AND MILLRACE_CCCL)
  add_test(NAME package.header.cuda.resource
    COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -Wall -Wextra -Wshadow -Wconversion -Wundef -Werror
      -fsyntax-only -I ${PROJECT_SOURCE_DIR}/include -isystem ${MILLRACE_CCCL} -isystem ${CUDAToolkit_INCLUDE_DIRS}
      -include millrace/cuda/resource.h -x c++ /dev/null)
  file(CONFIGURE OUTPUT ${millrace_package_work}/thrust_alone.cu CONTENT "#include <millrace/cuda/thrust.h>\n")
  add_test(NAME package.header.cuda.thrust
    COMMAND ${CMAKE_CUDA_COMPILER} -std=c++20 -Xcompiler=-Wall -Werror=all-warnings -I ${PROJECT_SOURCE_DIR}/include
      -c ${millrace_package_work}/thrust_alone.cu -o ${millrace_package_work}/thrust_alone.o)
  set_tests_properties(package.header.cuda.resource package.header.cuda.thrust PROPERTIES LABELS package TIMEOUT 300)
endif()

if(EXISTS ${PROJECT_SOURCE_DIR}/include/millrace/c.h)
  add_test(NAME package.header.c_in_c
    COMMAND ${CMAKE_CXX_COMPILER} -Wall -Wextra -Wundef -Werror -fsyntax-only -I ${PROJECT_SOURCE_DIR}/include
      -x c -std=c99 ${PROJECT_SOURCE_DIR}/include/millrace/c.h)
  set_tests_properties(package.header.c_in_c PROPERTIES LABELS package TIMEOUT 60)
endif()

if(MILLRACE_SHARED AND NOT MILLRACE_SANITIZE)
  add_test(NAME package.symbols
    COMMAND ${MILLRACE_PYTHON} ${millrace_package_tests}/check_symbols.py ${CMAKE_NM} $<TARGET_FILE:millrace_shared>)
  set_tests_properties(package.symbols PROPERTIES LABELS package TIMEOUT 60)
endif()
