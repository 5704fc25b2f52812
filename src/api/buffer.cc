#include <millrace/device.h>

#include <new>
#include <utility>

#include "device/fork.h"
#include "device/registry.h"
#include "device/thread_contexts.h"
#include "memory/allocator.h"

namespace millrace {

Buffer::Buffer(Buffer&& other) noexcept
    : device_(std::exchange(other.device_, 0)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  reset();
  device_ = std::exchange(other.device_, 0);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

Buffer::~Buffer() {
  reset();
}

void Buffer::reset() noexcept {
  void* data = release();
  if (data == nullptr || forked()) return;
  // What no record_use covers is made safe here: an owner that goes out of scope can't be asked.
  constexpr auto kOnMisuse = Allocator::OnMisuse::forgive;
  try {
    if (Context* const context = ThreadContexts::find(device_))
      return Allocator::of(context->core()).deallocate(*context, data, kOnMisuse);
    const sync::Ref<Core> core = Registry::get().find(device_);
    if (core) Allocator::deallocate_first(*core, data, kOnMisuse);  // else closed: the memory is gone
  } catch (const Error&) {
    // The device closed meanwhile, or somebody freed what this owned; both leave nothing to free.
  } catch (const std::bad_alloc&) {
    // As above: there was no memory to say so.
  }
}

void* Buffer::release() noexcept {
  size_ = 0;
  return std::exchange(data_, nullptr);
}

}  // namespace millrace
