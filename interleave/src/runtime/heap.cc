#include "runtime/heap.h"

#include <dlfcn.h>
#include <link.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "runtime/fiber.h"
#include "runtime/machine.h"
#include "runtime/memory.h"
#include "runtime/sanitizers.h"

// glibc's own, under the names that it keeps for those who replace the others.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
void* __libc_malloc(std::size_t bytes);
void __libc_free(void* address);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* address, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
}
// NOLINTEND(bugprone-reserved-identifier)

namespace interleave {
namespace {

struct Range {
  std::uintptr_t begin = 0, end = 0;

  bool has(const void* address) const noexcept {
    return reinterpret_cast<std::uintptr_t>(address) - begin < end - begin;
  }
};
Range libc;  // where the C library's code is
Range exceptions[2];

Range range_of(const char* function) noexcept {
  void* const found = dlsym(RTLD_DEFAULT, function);
  Dl_info info{};
  const ElfW(Sym)* symbol = nullptr;
  if (found == nullptr ||
      dladdr1(found, &info, const_cast<void**>(reinterpret_cast<const void**>(&symbol)), RTLD_DL_SYMENT) ==
          0 ||
      symbol == nullptr) {
    return {};
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(found);
  return {begin, begin + symbol->st_size};
}

/// What the C library allocates for itself (buffers of streams, say) outlives the run.
[[maybe_unused]] bool from_libc(const void* caller) noexcept {
  return libc.has(caller);
}

int note_libc(dl_phdr_info* info, std::size_t, void* wanted) {
  const auto address = reinterpret_cast<std::uintptr_t>(wanted);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    const std::uintptr_t begin = info->dlpi_addr + part.p_vaddr;
    if (part.p_type == PT_LOAD && address >= begin && address < begin + part.p_memsz) {
      libc = {begin, begin + part.p_memsz};
      return 1;
    }
  }
  return 0;
}

#if INTERLEAVE_ASAN
void* real_malloc(std::size_t bytes) {
  return std::malloc(bytes);
}
void* real_aligned(std::size_t alignment, std::size_t bytes) {
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}
void real_free(void* address) {
  std::free(address);
}
#else
void* real_malloc(std::size_t bytes) {
  return __libc_malloc(bytes);
}
void* real_aligned(std::size_t alignment, std::size_t bytes) {
  return __libc_memalign(alignment, bytes);
}
void real_free(void* address) {
  __libc_free(address);
}
#endif

void* allocate(std::size_t bytes, std::size_t alignment, const void* caller) {
  if (running_machine != nullptr) return running_machine->allocate(bytes, alignment, caller);
  return alignment <= alignof(std::max_align_t) ? real_malloc(bytes) : real_aligned(alignment, bytes);
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment, const void* caller) {
  void* address = allocate(bytes == 0 ? 1 : bytes, alignment, caller);
  if (address == nullptr) throw std::bad_alloc();
  return address;
}

/// On the running thread's stack, or in a file that is loaded: code, static data.
bool never_allocated(const void* address) noexcept {
  const auto* end = static_cast<const std::byte*>(running_machine->stack_end());
  if (address >= end - Fiber::kStackBytes && address < end) return true;
  Dl_info info{};
  return dladdr(address, &info) != 0;
}

void release(void* address, const void* caller) {
  if (address == nullptr) return;
  if (running_machine != nullptr && (Memory::of_any_run(address) || never_allocated(address))) {
    running_machine->release(address, caller);
  } else if (!Memory::of_any_run(address)) {
    real_free(address);
  }
  // Else the run that had the memory is over, and the memory with it.
}

}  // namespace

void install_heap() {
  if (libc.begin != 0) return;
  exceptions[0] = range_of("__cxa_allocate_exception");
  exceptions[1] = range_of("__cxa_allocate_dependent_exception");
  if (void* function = dlsym(RTLD_NEXT, "qsort"); function != nullptr) dl_iterate_phdr(&note_libc, function);
}

bool is_for_exception(const void* caller) noexcept {
  return exceptions[0].has(caller) || exceptions[1].has(caller);
}

}  // namespace interleave

#define INTERLEAVE_CALLER __builtin_return_address(0)
using interleave::allocate;
using interleave::allocate_or_throw;
using interleave::release;

void* operator new(std::size_t bytes) {
  return allocate_or_throw(bytes, 16, INTERLEAVE_CALLER);
}
void* operator new[](std::size_t bytes) {
  return allocate_or_throw(bytes, 16, INTERLEAVE_CALLER);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<std::size_t>(alignment), INTERLEAVE_CALLER);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<std::size_t>(alignment), INTERLEAVE_CALLER);
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes, 16, INTERLEAVE_CALLER);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes, 16, INTERLEAVE_CALLER);
}
void operator delete(void* address) noexcept {
  release(address, INTERLEAVE_CALLER);
}
void operator delete[](void* address) noexcept {
  release(address, INTERLEAVE_CALLER);
}
void operator delete(void* address, std::size_t) noexcept {
  release(address, INTERLEAVE_CALLER);
}
void operator delete[](void* address, std::size_t) noexcept {
  release(address, INTERLEAVE_CALLER);
}
void operator delete(void* address, std::align_val_t) noexcept {
  release(address, INTERLEAVE_CALLER);
}
void operator delete[](void* address, std::align_val_t) noexcept {
  release(address, INTERLEAVE_CALLER);
}
void operator delete(void* address, std::size_t, std::align_val_t) noexcept {
  release(address, INTERLEAVE_CALLER);
}
void operator delete[](void* address, std::size_t, std::align_val_t) noexcept {
  release(address, INTERLEAVE_CALLER);
}

#if !INTERLEAVE_ASAN
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
extern "C" {

void* malloc(std::size_t bytes) {
  if (interleave::running_machine == nullptr || interleave::from_libc(INTERLEAVE_CALLER))
    return __libc_malloc(bytes);
  return interleave::running_machine->allocate(bytes, 16, INTERLEAVE_CALLER);
}

void free(void* address) {
  release(address, INTERLEAVE_CALLER);
}

void* calloc(std::size_t count, std::size_t bytes) {
  if (interleave::running_machine == nullptr || interleave::from_libc(INTERLEAVE_CALLER))
    return __libc_calloc(count, bytes);
  std::size_t all = 0;
  if (__builtin_mul_overflow(count, bytes, &all)) return nullptr;
  void* address = interleave::running_machine->allocate(all, 16, INTERLEAVE_CALLER);
  if (address != nullptr) std::memset(address, 0, all);
  return address;
}

void* realloc(void* address, std::size_t bytes) {
  const bool ours = address != nullptr && interleave::Memory::of_any_run(address);
  if (!ours && (interleave::running_machine == nullptr || address != nullptr ||
                interleave::from_libc(INTERLEAVE_CALLER))) {
    return __libc_realloc(address, bytes);
  }
  if (interleave::running_machine == nullptr) return nullptr;
  void* larger = interleave::running_machine->allocate(bytes, 16, INTERLEAVE_CALLER);
  if (larger == nullptr || address == nullptr) return larger;
  std::memcpy(larger, address, std::min(bytes, interleave::Memory::size_of(address)));
  release(address, INTERLEAVE_CALLER);
  return larger;
}

void* memalign(std::size_t alignment, std::size_t bytes) {
  if (interleave::running_machine == nullptr || interleave::from_libc(INTERLEAVE_CALLER)) {
    return __libc_memalign(alignment, bytes);
  }
  return interleave::running_machine->allocate(bytes, alignment, INTERLEAVE_CALLER);
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  if (interleave::running_machine == nullptr) return __libc_memalign(alignment, bytes);
  return interleave::running_machine->allocate(bytes, alignment, INTERLEAVE_CALLER);
}

int posix_memalign(void** address, std::size_t alignment, std::size_t bytes) {
  void* found = interleave::running_machine == nullptr
                    ? __libc_memalign(alignment, bytes)
                    : interleave::running_machine->allocate(bytes, alignment, INTERLEAVE_CALLER);
  if (found == nullptr) return ENOMEM;
  *address = found;
  return 0;
}

}  // extern "C"
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
#endif
