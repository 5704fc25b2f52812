#include <millrace/device.h>

#include "api/access.h"
#include "device/fork.h"
#include "device/registry.h"
#include "device/thread_contexts.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace millrace {
namespace {

/// Keeps the device that nobody named open. Never destroyed: closed by the exit handler like any other.
struct DefaultDevice {
  sync::Mutex mutex;
  Device device GUARDED_BY(mutex);
};

/// A handle to the device of that id; empty once it is closed.
Device device_of(std::uint64_t id) {
  const sync::Ref<Core> core = Registry::get().find(id);
  return core && core->try_add_handle() ? detail::Access::make_device(core.get()) : Device();
}

Device default_device() {
  static DefaultDevice& place = *new DefaultDevice;
  sync::LockGuard lock(place.mutex);
  if (!place.device.is_open()) place.device = Device::open("auto");
  return place.device;
}

}  // namespace

Device current_device() {
  refuse_in_forked_child("current_device");
  const std::uint64_t id = ThreadContexts::current_device();
  if (id == 0) return default_device();
  Device device = device_of(id);
  if (!device.is_open()) {
    throw Error(ErrorCode::Closed, "the device that is current on this thread was closed; end its guard",
                {.call = "current_device", .device = {}, .rule = {}});
  }
  return device;
}

DeviceGuard::DeviceGuard(const Device& device)
    : original_(ThreadContexts::current_device()), thread_(sync::this_thread_id()) {
  set(device);
}

DeviceGuard::~DeviceGuard() {
  if (thread_ != sync::this_thread_id() || forked()) return;
  // The slot is there since set made it, so this allocates nothing.
  ThreadContexts::set_current_device(original_);
}

void DeviceGuard::set(const Device& device) {
  refuse_in_forked_child("DeviceGuard::set");
  if (thread_ != sync::this_thread_id()) {
    throw_rule("guard-on-other-thread",
               "the guard was made on another thread and changes what is current there; make "
               "one on this thread",
               {.call = "DeviceGuard::set", .device = {}, .rule = {}});
  }
  if (!device.is_open()) {
    throw Error(ErrorCode::Closed, "a closed device can't be made current",
                {.call = "DeviceGuard::set", .device = {}, .rule = {}});
  }
  current_ = detail::Access::core_of(device)->id();
  ThreadContexts::set_current_device(current_);
}

Device DeviceGuard::original() const {
  return original_ == 0 ? Device() : device_of(original_);
}
Device DeviceGuard::current() const {
  return device_of(current_);
}

}  // namespace millrace
