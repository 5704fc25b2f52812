// Stacks of their own for the threads of a run, and the switch between them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace interleave {

/// A stack with a guard page and what is saved while another one runs.
///
/// Thread safety: one thread.
class Fiber {
 public:
  static constexpr std::size_t kStackBytes = std::size_t{256} << 10;

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
  const void* stack_pointer() const noexcept { return pointer_; }

 private:
  void* pointer_ = nullptr;
  std::byte* stack_ = nullptr;
  // What the C++ runtime keeps of a thread's exceptions.
  void* caught_ = nullptr;
  unsigned uncaught_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
};

}  // namespace interleave
