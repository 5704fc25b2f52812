# MILLRACE_VERSION, read from include/millrace/version.h: the one place where it stands.
set(millrace_version_header ${CMAKE_CURRENT_LIST_DIR}/../include/millrace/version.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${millrace_version_header})

set(MILLRACE_VERSION "")
foreach(part MAJOR MINOR PATCH)
  file(STRINGS ${millrace_version_header} line REGEX "^#define MILLRACE_VERSION_${part} [0-9]+$")
  if(NOT line MATCHES "([0-9]+)$")
    message(FATAL_ERROR "${millrace_version_header}: no line '#define MILLRACE_VERSION_${part} <number>'")
  endif()
  list(APPEND MILLRACE_VERSION ${CMAKE_MATCH_1})
endforeach()
list(JOIN MILLRACE_VERSION "." MILLRACE_VERSION)
