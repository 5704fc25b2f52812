// Stacks of their own for the threads of a run, and the switch between them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/sanitizers.h"

#if !defined(__x86_64__)
extern "C" void interleave_switch(void** save, void* load) noexcept;
#endif

namespace interleave {

namespace detail {
/// The layout that the C++ ABI gives __cxa_eh_globals.
struct ExceptionGlobals {
  void* caught;
  unsigned uncaught;
};
extern ExceptionGlobals* exception_globals;  // of the one system thread that runs all fibers
}  // namespace detail

/// A stack with a guard page and what is saved while another one runs.
///
/// Thread safety: one thread.
class Fiber {
 public:
  static constexpr std::size_t kStackBytes = std::size_t{1} << 20;

  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Gives a fiber the process's nth stack: they are there from the first check on, at the same addresses in
  /// all of its processes. Throws std::bad_alloc when there is no address space.
  void take_stack(int n);
  /// The next switch to it calls entry, on the same stack each time; entry must not return. What stood on the
  /// stack is forgotten.
  void prepare(void (*entry)());
  /// The first thing that entry calls.
  static void entered() noexcept;
  /// Runs `to` until something switches back to this one.
  void switch_to(Fiber& to) noexcept;

  const std::byte* stack_begin() const noexcept { return stack_; }

 private:
  void start_switch(Fiber& to) noexcept;
  void finish_switch() noexcept;

  void* pointer_ = nullptr;
  std::byte* stack_ = nullptr;
  // What the C++ runtime keeps of a thread's exceptions.
  void* caught_ = nullptr;
  unsigned uncaught_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
};

// Inline, down from the operation that waits: the processor foresees where a return goes by the calls before
// it, and those were another fiber's, so that each return between a switch and the test's code is a surprise.
[[gnu::always_inline]] inline void Fiber::switch_to(Fiber& to) noexcept {
  detail::ExceptionGlobals& globals = *detail::exception_globals;
  caught_ = globals.caught;
  uncaught_ = globals.uncaught;
  globals.caught = to.caught_;
  globals.uncaught = to.uncaught_;
#if INTERLEAVE_ASAN
  start_switch(to);
#endif
#if defined(__x86_64__)
  void** save = &pointer_;
  void* load = to.pointer_;
  asm volatile(
      "leaq -128(%%rsp), %%rsp\n\t"  // what a function may keep below its stack pointer
      "pushq %%rbp\n\t"
      "pushq %%rbx\n\t"
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "movq %%rsp, (%[save])\n\t"
      "movq %[load], %%rsp\n\t"
      "popq %%rax\n\t"
      "jmp *%%rax\n"
      "1:\n\t"
      "popq %%rbx\n\t"
      "popq %%rbp\n\t"
      "leaq 128(%%rsp), %%rsp"
      : [save] "+D"(save), [load] "+S"(load)
      :
      : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2",
        "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
        "xmm15",
#if defined(__AVX512F__)
        "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26",
        "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7",
#endif
        "cc", "memory");
#else
  interleave_switch(&pointer_, to.pointer_);
#endif
#if INTERLEAVE_ASAN
  finish_switch();
#endif
}

}  // namespace interleave
