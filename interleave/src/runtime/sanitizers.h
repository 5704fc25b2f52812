// Which of the compiler's sanitizers the checker itself is built with.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define INTERLEAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INTERLEAVE_ASAN 1
#endif
#endif
#ifndef INTERLEAVE_ASAN
#define INTERLEAVE_ASAN 0
#endif
