// Included before everything else in instrumented code: what these functions do to memory is to be seen, too.
// The compilers' instrumentation leaves them to a runtime that replaces them in the whole process.
#pragma once

#pragma redefine_extname memcpy __tsan_memcpy
#pragma redefine_extname memmove __tsan_memmove
#pragma redefine_extname memset __tsan_memset
