#include "device/registry.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "device/fork.h"
#include "device/thread_contexts.h"

namespace millrace {

Registry& Registry::get() noexcept {
  static Registry* const registry = new Registry;  // never destroyed, see above
  return *registry;
}

void Registry::prepare() {
  refuse_in_forked_child("Device::open");
  static bool prepared = false;  // under opening_
  if (prepared) return;
  watch_for_fork();
  ThreadContexts::open();
  if (std::atexit(&Registry::at_exit) != 0) {
    throw Error(ErrorCode::OutOfMemory, "the system has no memory to register an exit handler");
  }
  prepared = true;
}

sync::Ref<Core> Registry::open(const std::string& name, const DeviceOptions& options, Build build) {
  refuse_in_forked_child("Device::open");
  sync::LockGuard opening(opening_);
  prepare();
  {
    sync::LockGuard lock(mutex_);
    for (const Entry& entry : entries_) {
      if (entry.name == name && entry.core->is_open() && entry.core->try_add_handle()) {
        return sync::Ref<Core>::adopt(entry.core.get());
      }
    }
  }
  sync::Ref<Core> core = build(name, options);
  sync::LockGuard lock(mutex_);
  entries_.push_back({name, core});
  return core;
}

sync::Ref<Core> Registry::create(const std::string& name, const DeviceOptions& options, Build build) {
  refuse_in_forked_child("Device::create");
  {
    sync::LockGuard opening(opening_);
    prepare();
  }
  sync::Ref<Core> core = build(name, options);
  sync::LockGuard lock(mutex_);
  entries_.push_back({std::string(), core});
  return core;
}

sync::Ref<Core> Registry::find(std::uint64_t id) noexcept {
  if (forked()) return {};
  sync::LockGuard lock(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.core->id() == id) return entry.core;
  }
  return {};
}

void Registry::forget(Core& core) noexcept {
  sync::Ref<Core> dropped;  // outlives the lock: it may be the last but for the caller's
  sync::LockGuard lock(mutex_);
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.core.get() == &core; });
  if (found == entries_.end()) return;
  dropped = std::move(found->core);
  entries_.erase(found);
}

void Registry::close_later(sync::Ref<Core> core) noexcept {
  sync::LockGuard lock(mutex_);
  try {
    closers_.emplace_back([core = std::move(core)] { core->close(CloseMode::drain); });
  } catch (const std::system_error&) {
    // No thread to be had: it stays open until the process exits, which closes it.
  } catch (const std::bad_alloc&) {
  }
}

void Registry::at_exit() noexcept {
  if (!forked()) get().close_all_for_exit();
}

void Registry::close_all_for_exit() noexcept {
  std::vector<sync::Ref<Core>> open;
  std::vector<sync::Thread> closers;
  {
    sync::LockGuard lock(mutex_);
    for (const Entry& entry : entries_) open.push_back(entry.core);
    closers = std::exchange(closers_, {});
  }
  for (sync::Ref<Core>& core : open) {
    core->close(CloseMode::exit);
    // Threads that still run may use it: it stays as it is.
    static_cast<void>(core.release());
  }
  for (sync::Thread& closer : closers) closer.detach();
}

}  // namespace millrace
