#include "bench/allocators.h"

#include <dlfcn.h>

namespace millrace::tool {

std::unique_ptr<MimallocBlocks> find_mimalloc() {
#ifdef MILLRACE_MIMALLOC_LIBRARY
  void* library = ::dlopen(MILLRACE_MIMALLOC_LIBRARY, RTLD_NOW | RTLD_LOCAL);
#else
  void* library = nullptr;
#endif
  for (const char* const name : {"libmimalloc.so.2", "libmimalloc.so", "libmimalloc.so.3"}) {
    if (library == nullptr) library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  if (library == nullptr) return nullptr;
  // Never closed: its threads' exit hooks would be gone with it.
  auto found = std::make_unique<MimallocBlocks>();
  found->malloc = reinterpret_cast<void* (*)(std::size_t)>(::dlsym(library, "mi_malloc"));
  found->free = reinterpret_cast<void (*)(void*)>(::dlsym(library, "mi_free"));
  return found->malloc != nullptr && found->free != nullptr ? std::move(found) : nullptr;
}

}  // namespace millrace::tool
