// A pointer of each thread's own, with a hook for when the thread ends.
#pragma once

#include <type_traits>

#include "interleave/detail/runtime.h"

namespace interleave {

/// One T* a thread, null at first. When a thread's function has returned, the hooks of the slots that are set
/// run in the reverse order of setting, each after its slot is null again; what they set gets further rounds.
/// All of it happens before a join returns.
///
/// The object's address is the key: it must outlive the threads that use it.
///
/// Thread safety: any thread, each for itself.
template <typename T>
class thread_slot {
 public:
  using ExitHook = void (*)(T*);

  constexpr explicit thread_slot(ExitHook hook = nullptr) noexcept : hook_(hook) {}
  thread_slot(const thread_slot&) = delete;
  thread_slot& operator=(const thread_slot&) = delete;

  T* get() const noexcept { return static_cast<T*>(detail::slot_get(this)); }
  void set(T* value, Where where = Where::current()) {
    detail::slot_set(this, const_cast<std::remove_const_t<T>*>(value),
                     hook_ == nullptr ? nullptr : reinterpret_cast<void (*)(void*)>(hook_), where);
  }

 private:
  ExitHook hook_;
};

}  // namespace interleave
