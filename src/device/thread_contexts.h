// The contexts of the calling thread, one a device it has used.
#pragma once

#include <cstdint>
#include <vector>

#include "device/context.h"

namespace millrace {

/// Found by the device's id, which is never used twice: a handle that outlived its device finds
/// nothing, or a context that is retired.
///
/// Thread safety: static members act on the calling thread's own list.
class ThreadContexts {
 public:
  /// The calling thread's context on a device; null if it has none. Two loads for the device that the
  /// thread used last.
  static Context* find(std::uint64_t core_id) noexcept {
    ThreadContexts* mine = slot_get();
    if (mine == nullptr) return nullptr;
    if (mine->last_id_ == core_id) [[likely]]
      return mine->last_;
    return mine->search(core_id);
  }
  /// Makes the calling thread's context on the device, with a part of each layer. Throws Closed,
  /// ForkedProcess, or std::bad_alloc.
  static Context& create(Core& core);
  /// In a forked child: the lists belonged to threads that are gone, or to a state that is.
  static void forget() noexcept;

  /// The device that a guard or current_device has made current on this thread; 0 for none.
  static std::uint64_t current_device() noexcept;
  static void set_current_device(std::uint64_t core_id);

  /// Without this no hook runs when a thread ends. Once, before the first device is opened.
  static void open();

 private:
  struct Entry {
    std::uint64_t core_id;
    Context* context;
  };

  static ThreadContexts* slot_get() noexcept;
  static ThreadContexts& mine();
  static void thread_exit(ThreadContexts* contexts) noexcept;
  Context* search(std::uint64_t core_id) noexcept;
  /// Deletes the contexts that closed devices have retired.
  void drop_retired() noexcept;

  std::uint64_t last_id_ = 0;
  Context* last_ = nullptr;
  std::uint64_t current_device_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace millrace
