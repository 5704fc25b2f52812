#include <millrace/device.h>

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
  Context* context = ThreadContexts::find(device_);
  try {
    if (context == nullptr) {
      const sync::Ref<Core> core = Registry::get().find(device_);
      if (!core) return;  // closed: the memory is gone
      context = &ThreadContexts::create(*core);
    }
    // What no record_use covers is made safe here: an owner that goes out of scope can't be asked.
    Allocator::of(context->core()).deallocate(*context, data, Allocator::OnMisuse::forgive);
  } catch (const Error&) {
    // The device closed meanwhile, or somebody freed what this owned; both leave nothing to free.
  } catch (const std::bad_alloc&) {
    // No memory for a context on this thread: the block stays allocated, as the stats show.
  }
}

void* Buffer::release() noexcept {
  size_ = 0;
  return std::exchange(data_, nullptr);
}

}  // namespace millrace
