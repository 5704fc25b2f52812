// The device that the conformance suite runs on, and what tests may do with its memory.
#pragma once

#include <gtest/gtest.h>
#include <millrace/device.h>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::test {

/// MILLRACE_TEST_DEVICE, a name that `millrace devices` lists; "host" if it is not set.
inline std::string test_device_name() {
  const char* given = std::getenv("MILLRACE_TEST_DEVICE");
  return given != nullptr && *given != '\0' ? given : "host";
}

inline bool on_host_backend() {
  const std::string name = test_device_name();
  return name == "host" || name.starts_with("host:");
}

/// The index-th device of the host backend, which has as many as anybody names. Of another backend only
/// the device under test is sure to be there, so there it is that one, whatever the index.
inline std::string test_device_name(int index) {
  return on_host_backend() ? "host:" + std::to_string(index) : test_device_name();
}

/// A device of the test's own. Throws what Device::create throws.
inline Device create_test_device(const DeviceOptions& options = {}) {
  return Device::create(test_device_name(), options);
}

/// Do heaps grow in place, granule by granule, or (MILLRACE_CUDA_VIRTUAL_MEMORY=off) come and go as wholes?
inline bool heaps_grow_in_place() {
  const char* const virtual_memory = std::getenv("MILLRACE_CUDA_VIRTUAL_MEMORY");
  return on_host_backend() || virtual_memory == nullptr || std::string_view(virtual_memory) != "off";
}

/// Why the device does not have what these options ask for; empty if it has. The host backend has
/// everything, so a refusal there is for the test to fall over.
inline std::string reason_unsupported(const DeviceOptions& options) {
  if (on_host_backend()) return {};
  try {
    create_test_device(options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Unsupported) throw;
    return error.what();
  }
  return {};
}

/// May host code, on the test's threads or in host tasks, read and write the device's memory in place?
/// If not it takes copies through a stream. MILLRACE_TEST_COPIES=1 has it no everywhere, so that those
/// ways are tested without such a device too.
inline bool host_shares_memory(const Device& device) {
  const char* copies = std::getenv("MILLRACE_TEST_COPIES");
  const bool forced = copies != nullptr && std::string_view(copies) == "1";
  return !forced && device.info().reads_host_memory;
}

/// What is at an address of the device once all that was recorded on the stream has run.
template <typename T>
std::vector<T> read_back(Stream stream, const void* address, std::size_t count) {
  std::vector<T> values(count);
  stream.copy(values.data(), address, count * sizeof(T));
  stream.wait();
  return values;
}

template <typename T>
T read_one(Stream stream, const T* address) {
  return read_back<T>(stream, address, 1).front();
}

/// Puts values at an address of the device; they are there on return.
template <typename T>
void write_to(Stream stream, void* address, const std::vector<T>& values) {
  stream.copy(address, values.data(), values.size() * sizeof(T));
  stream.wait();
}

}  // namespace millrace::test

/// Skips the test on a device that refuses the options as unsupported; the refusal is the reason.
#define MILLRACE_SKIP_IF_UNSUPPORTED(...)                                                              \
  if (const std::string refused = ::millrace::test::reason_unsupported(__VA_ARGS__); !refused.empty()) \
  GTEST_SKIP() << ::millrace::test::test_device_name() << " does not have it: " << refused

/// Skips the test on all backends but the host's; the reason says what of the host's it is about.
#define MILLRACE_HOST_BACKEND_ONLY(reason)                                                                 \
  if (!::millrace::test::on_host_backend())                                                                \
  GTEST_SKIP() << "of the host backend only, and this is " << ::millrace::test::test_device_name() << ": " \
               << (reason)
