// The devices behind torch.device("millrace:N").
#pragma once

#include <c10/core/Device.h>
#include <millrace/millrace.h>

#include <optional>
#include <string>

namespace millrace_torch {

inline constexpr c10::DeviceType kMillrace = c10::DeviceType::PrivateUse1;

/// What devices are opened with, from the environment and what was configured before the first was.
struct Config {
  int devices = 1;  ///< MILLRACE_TORCH_DEVICES
  millrace::DeviceOptions options;
};

/// Throws c10::Error once a device is open.
void configure(const Config& config);
Config configured();
/// Closes the devices, which open again with the config when they are used next. Throws c10::Error where a
/// tensor is alive, naming how many bytes are.
void reopen(const Config& config);
/// Is an operator to have run when its call returns? From the next operator of any thread on, tensors or none;
/// without a value as MILLRACE_TORCH_SYNCHRONOUS has it.
void wait_for_operators(std::optional<bool> wait);

/// Are undeclared uses of memory looked for?
bool configured_to_protect() noexcept;
/// Is each operator waited for?
bool configured_synchronous() noexcept;

int device_count() noexcept;
/// Opened when first asked for. It lasts as long as the process: tensors are freed until the end.
/// -1 is the calling thread's current device. Throws c10::Error for an index that there is not.
millrace::Device& device_of(c10::DeviceIndex index);
/// Throws c10::Error for an index that there is not, or says what is wrong in the environment.
void check_index(c10::DeviceIndex index);
bool is_open(c10::DeviceIndex index) noexcept;
/// Waits for everything on the device; throws the first failure.
void synchronize(c10::DeviceIndex index);
/// Waits for everything on all devices that are open; errors are dropped.
void drain() noexcept;

c10::DeviceIndex current_device() noexcept;
/// The calling thread's current device from here on; the one before is returned.
c10::DeviceIndex exchange_device(c10::DeviceIndex index);

/// Around an allocation: where it finds no memory, what is recorded is committed, once, and it tries again.
class AskedOnce {
 public:
  AskedOnce() noexcept;
  ~AskedOnce();
  AskedOnce(const AskedOnce&) = delete;
  AskedOnce& operator=(const AskedOnce&) = delete;
};

/// Calls f; errors of Millrace's become those that torch knows: OutOfMemoryError with the report,
/// RuntimeError.
template <typename F>
auto translated(F&& f) -> decltype(f());

[[noreturn]] void throw_as_torch(const millrace::Error& error);

template <typename F>
auto translated(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const millrace::Error& error) {
    throw_as_torch(error);
  }
}

}  // namespace millrace_torch
