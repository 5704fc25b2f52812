// Knowing that the calling thread is running a handler, and which one.
#pragma once

#include "sync/thread_slot.h"

namespace millrace {

namespace detail {
class Core;
}
using detail::Core;

/// While it lives, the calling thread runs a handler of a device: calls that would wait for the thread
/// itself are refused or queued (docs/concurrency.md, H4).
///
/// Also put around the destruction of a user's function objects, with buffer null: they may hold the last
/// handle of the device. Scopes nest.
///
/// Thread safety: made and asked by one thread, about itself.
class HandlerScope {
 public:
  HandlerScope(const Core& core, const void* buffer) noexcept
      : core_(&core), buffer_(buffer), outer_(Slot::get()) {
    Slot::set(this);
  }
  ~HandlerScope() { Slot::set(outer_); }
  HandlerScope(const HandlerScope&) = delete;
  HandlerScope& operator=(const HandlerScope&) = delete;

  /// Is the caller inside a handler of this device?
  static bool inside(const Core& core) noexcept {
    for (const HandlerScope* scope = Slot::get(); scope != nullptr; scope = scope->outer_) {
      if (scope->core_ == &core) return true;
    }
    return false;
  }
  /// Inside a handler of this command buffer?
  static bool inside(const void* buffer) noexcept {
    for (const HandlerScope* scope = Slot::get(); scope != nullptr; scope = scope->outer_) {
      if (scope->buffer_ == buffer) return true;
    }
    return false;
  }

 private:
  struct Tag;
  using Slot = sync::ThreadSlot<Tag, HandlerScope>;  // never opened: no hook when the thread ends

  const Core* core_;
  const void* buffer_;
  HandlerScope* outer_;
};

}  // namespace millrace
