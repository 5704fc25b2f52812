// What the shared library shows to the outside: everything in these headers, nothing else.
#pragma once

#if defined(__GNUC__)
#define MILLRACE_API __attribute__((visibility("default")))
#else
#define MILLRACE_API
#endif
