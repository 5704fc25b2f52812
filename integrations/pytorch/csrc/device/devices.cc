#include "device/devices.h"

#include <c10/util/Exception.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "device/in_operator.h"
#include "device/streams.h"
#include "python/without_lock.h"

namespace millrace_torch {
namespace {

constexpr int kMostDevices = 16;

int devices_wanted() {
  const char* const text = std::getenv("MILLRACE_TORCH_DEVICES");
  if (text == nullptr || *text == '\0') return 1;
  char* end = nullptr;
  const long count = std::strtol(text, &end, 10);
  TORCH_CHECK(*end == '\0' && count >= 1 && count <= kMostDevices, "MILLRACE_TORCH_DEVICES is \"", text,
              "\"; give a number from 1 to ", kMostDevices);
  return static_cast<int>(count);
}

bool synchronous_wanted() {
  const char* const text = std::getenv("MILLRACE_TORCH_SYNCHRONOUS");
  const std::string_view wanted = text == nullptr ? "" : text;
  TORCH_CHECK(wanted.empty() || wanted == "0" || wanted == "1", "MILLRACE_TORCH_SYNCHRONOUS is \"", wanted,
              "\"; give 1 to have each operator waited for, or 0");
  return wanted == "1";
}

struct FromEnvironment {
  Config config;
  bool synchronous = false;
  std::string wrong;  ///< what the environment says and can't be; there is no device then
};
FromEnvironment from_environment() noexcept {
  FromEnvironment wanted;
  try {
    wanted.config.devices = devices_wanted();
    wanted.synchronous = synchronous_wanted();
  } catch (const c10::Error& error) {
    wanted.config.devices = 0;
    wanted.wrong = error.what_without_backtrace();
  }
  return wanted;
}

/// All devices. Never destroyed: tensors in static variables are freed after everything else.
struct Devices {
  const FromEnvironment environment = from_environment();
  std::mutex mutex;  // protects what follows
  Config config = environment.config;
  std::array<std::atomic<millrace::Device*>, kMostDevices> usable{};
  std::atomic<bool> protects{false};  // config's; relaxed: it changes while nothing is in use
  std::atomic<bool> synchronous{environment.synchronous};  // relaxed: no operator needs another's answer
};

Devices& devices() {
  static Devices* const all = new Devices;
  return *all;
}

thread_local c10::DeviceIndex current = 0;

thread_local bool may_ask = false;

/// Memory that is free once recorded work has run can be had only if somebody commits that.
bool commit_for_memory(c10::DeviceIndex index) {
  if (!std::exchange(may_ask, false)) return false;
  commit_all(index);
  return true;
}

millrace::Device& open(c10::DeviceIndex index) {
  Devices& all = devices();
  const std::lock_guard lock(all.mutex);
  auto& slot = all.usable[static_cast<std::size_t>(index)];
  if (millrace::Device* const there = slot.load(std::memory_order_relaxed)) return *there;
  millrace::DeviceOptions options = all.config.options;
  options.on_out_of_memory = [index](std::size_t) { return commit_for_memory(index); };
  auto* const device = translated([&] {
    return new millrace::Device(millrace::Device::create("host:" + std::to_string(index), options));
  });
  slot.store(device, std::memory_order_release);  // pairs with the acquire in device_of
  return *device;
}

/// With the mutex held.
void refuse_tensors(const Devices& all) {
  for (std::size_t i = 0; i < all.usable.size(); ++i) {
    const millrace::Device* const device = all.usable[i].load(std::memory_order_relaxed);
    if (device == nullptr) continue;
    const std::size_t live = translated([&] { return device->memory().live; });
    TORCH_CHECK(live == 0, "millrace:", i, " has ", live,
                " bytes in tensors, which a device that is opened again would not have; do this first, or "
                "delete them");
  }
}

}  // namespace

AskedOnce::AskedOnce() noexcept {
  may_ask = true;
}
AskedOnce::~AskedOnce() {
  may_ask = false;
}

void configure(const Config& config) {
  Devices& all = devices();
  const std::lock_guard lock(all.mutex);
  for (const auto& device : all.usable) {
    TORCH_CHECK(device.load(std::memory_order_relaxed) == nullptr,
                "a millrace device is in use already; configure it before the first tensor or stream");
  }
  TORCH_CHECK(config.devices >= 1 && config.devices <= kMostDevices, "devices is ", config.devices,
              "; give a number from 1 to ", kMostDevices);
  all.config = config;
  all.protects.store(config.options.protect, std::memory_order_relaxed);
}

Config configured() {
  Devices& all = devices();
  const std::lock_guard lock(all.mutex);
  return all.config;
}

void reopen(const Config& config) {
  Devices& all = devices();
  {
    const std::lock_guard lock(all.mutex);
    refuse_tensors(all);  // at once, where operators would be waited for in vain
  }
  std::array<millrace::Device*, kMostDevices> closing{};
  {
    // What is allocated, and the streams that it is used on, are of one device then, and no tensor begins
    // after it was asked for them.
    const BetweenOperators none_runs;
    const std::lock_guard lock(all.mutex);
    refuse_tensors(all);
    for (std::size_t i = 0; i < all.usable.size(); ++i) {
      closing[i] = all.usable[i].exchange(nullptr, std::memory_order_acq_rel);
      if (closing[i] != nullptr) forget_streams(static_cast<c10::DeviceIndex>(i));
    }
    all.config = config;
    all.protects.store(config.options.protect, std::memory_order_relaxed);
  }
  // Without the lock, which operators that are still to run may take. The handles are kept: other threads may
  // have them in hand, and are told that the device is closed.
  for (millrace::Device* const device : closing) {
    if (device != nullptr) translated([&] { device->close(); });
  }
}

void wait_for_operators(std::optional<bool> wait) {
  Devices& all = devices();
  all.synchronous.store(wait.value_or(all.environment.synchronous), std::memory_order_relaxed);
}

bool configured_synchronous() noexcept {
  return devices().synchronous.load(std::memory_order_relaxed);
}

bool configured_to_protect() noexcept {
  return devices().protects.load(std::memory_order_relaxed);
}

int device_count() noexcept {
  Devices& all = devices();
  const std::lock_guard lock(all.mutex);
  return all.config.devices;
}

void check_index(c10::DeviceIndex index) {
  const std::string& wrong = devices().environment.wrong;
  const int count = device_count();
  TORCH_CHECK(wrong.empty() || count != 0, wrong);
  TORCH_CHECK(index < count, "millrace:", static_cast<int>(index),
              " was asked for, and the number of devices is ", count,
              "; MILLRACE_TORCH_DEVICES says how many there are");
}

millrace::Device& device_of(c10::DeviceIndex index) {
  if (index < 0) index = current;
  if (index < kMostDevices) {
    // acquire: pairs with the release in open.
    millrace::Device* const device =
        devices().usable[static_cast<std::size_t>(index)].load(std::memory_order_acquire);
    if (device != nullptr) return *device;
  }
  check_index(index);
  return open(index);
}

bool is_open(c10::DeviceIndex index) noexcept {
  if (index < 0 || index >= kMostDevices) return false;
  return devices().usable[static_cast<std::size_t>(index)].load(std::memory_order_acquire) != nullptr;
}

void synchronize(c10::DeviceIndex index) {
  if (index < 0) index = current;
  millrace::Device& device = device_of(index);
  const WithoutLock free;
  translated([&] { device.synchronize(); });
}

void drain() noexcept {
  for (const auto& slot : devices().usable) {
    millrace::Device* const device = slot.load(std::memory_order_acquire);
    if (device == nullptr) continue;
    try {
      device->synchronize();
    } catch (const std::exception&) {
      // Nobody is left to be told.
    }
  }
}

c10::DeviceIndex current_device() noexcept {
  return current;
}

c10::DeviceIndex exchange_device(c10::DeviceIndex index) {
  const c10::DeviceIndex before = current;
  if (index < 0 || index == before) return before;
  TORCH_CHECK(index < device_count(), "millrace:", static_cast<int>(index),
              " can't be made current: the number of devices is ", device_count());
  current = index;
  return before;
}

void throw_as_torch(const millrace::Error& error) {
  if (error.code() == millrace::ErrorCode::OutOfMemory) {
    TORCH_CHECK_WITH(OutOfMemoryError, false, error.what());
  }
  TORCH_CHECK(false, error.what());
}

}  // namespace millrace_torch
