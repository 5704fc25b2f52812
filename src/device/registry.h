// The devices that are open in this process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/core.h"
#include "sync/mutex.h"
#include "sync/ref.h"

namespace millrace {

/// Never destroyed: devices may be used and closed by static destructors of any translation unit.
/// What is still open when the process exits is closed by an exit handler.
///
/// Thread safety: all members from any thread.
class Registry {
 public:
  using Build = sync::Ref<Core> (*)(const std::string& name, const DeviceOptions& options);

  static Registry& get() noexcept;

  /// A handle to the open device of that name, or to one that build makes. Builds of one name happen
  /// one at a time. Throws what build throws; ForkedProcess.
  sync::Ref<Core> open(const std::string& name, const DeviceOptions& options, Build build);
  /// One that nobody finds by name.
  sync::Ref<Core> create(const std::string& name, const DeviceOptions& options, Build build);
  /// By id; null when it is closed or closing.
  sync::Ref<Core> find(std::uint64_t id) noexcept;
  /// A closing device is found no more.
  void forget(Core& core) noexcept;
  /// Closes the device on a thread of its own, for a caller that its close would wait for.
  void close_later(sync::Ref<Core> core) noexcept;

 private:
  struct Entry {
    std::string name;  // empty: found by id alone
    sync::Ref<Core> core;
  };

  Registry() = default;
  void prepare();
  sync::Ref<Core> add(std::string name, sync::Ref<Core> core);
  static void at_exit() noexcept;
  void close_all_for_exit() noexcept;

  sync::Mutex opening_;  // held while a device is built, so that one name is not opened twice
  sync::Mutex mutex_;    // taken after opening_ and before nothing
  std::vector<Entry> entries_ GUARDED_BY(mutex_);
  Core* kept_ GUARDED_BY(mutex_) = nullptr;  // closed by the exit of the process; each with a reference
};

}  // namespace millrace
