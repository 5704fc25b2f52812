#include "device/context.h"

#include <cassert>

#include "device/core.h"
#include "sync/thread.h"

namespace millrace {

Context::Context(sync::Ref<Core> core, std::uint64_t thread) : thread_(thread), core_(std::move(core)) {}
Context::~Context() = default;

Context::Hold Context::hold_slow() noexcept {
  for (;;) {
    std::uint32_t expected = kIdle;
    // acquire: pairs with the release of the last holder (X2).
    if (word_.compare_exchange_weak(expected, kOwner, std::memory_order_acquire, std::memory_order_relaxed)) {
      return Hold(this);
    }
    if (expected == kRetired) return {};
    assert(expected != kOwner && "an operation on a context inside another one on the same thread");
    sync::yield();
  }
}

Context::Hold Context::try_steal() noexcept {
  std::uint32_t expected = kIdle;
  // acquire: pairs with the release of the last holder (X2).
  if (word_.compare_exchange_strong(expected, kThief, std::memory_order_acquire, std::memory_order_relaxed)) {
    return Hold(this);
  }
  return {};
}

bool Context::try_retire() noexcept {
  for (;;) {
    std::uint32_t expected = kIdle;
    // acquire: pairs with the release of the last holder (X2). X3: retired is never left.
    if (word_.compare_exchange_weak(expected, kRetired, std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      return true;
    }
    if (expected == kRetired) return false;
    sync::yield();
  }
}

bool Context::retired() const noexcept {
  // relaxed: retired is final, and says nothing about what retiring did.
  return word_.load(std::memory_order_relaxed) == kRetired;
}

void Context::retire_parts() noexcept {
  for (std::size_t i = kLayerCount; i-- > 0;) {
    if (parts_[i]) parts_[i]->retire();
  }
}

void Context::fold_parts() noexcept {
  for (auto& part : parts_) {
    if (part) part->fold();
  }
}

}  // namespace millrace
