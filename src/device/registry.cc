#include "device/registry.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "device/fork.h"
#include "device/thread_contexts.h"
#include "sync/thread.h"

namespace millrace {

Registry& Registry::get() noexcept {
  // In a union it is never destroyed, see above, and needs no memory that there might not be.
  static union Kept {
    Kept() : registry() {}
    ~Kept() {}
    Registry registry;
  } kept;
  return kept.registry;
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
  return add(name, build(name, options));
}

sync::Ref<Core> Registry::create(const std::string& name, const DeviceOptions& options, Build build) {
  refuse_in_forked_child("Device::create");
  {
    sync::LockGuard opening(opening_);
    prepare();
  }
  return add(std::string(), build(name, options));
}

sync::Ref<Core> Registry::add(std::string name, sync::Ref<Core> core) {
  try {
    sync::LockGuard lock(mutex_);
    entries_.push_back({std::move(name), core});
  } catch (const std::bad_alloc&) {
    core->close(CloseMode::drain);  // it runs already, and nobody will have a handle
    throw;
  }
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
  try {
    sync::Thread([core = std::move(core)] { core->close(CloseMode::drain); }).detach();
  } catch (const std::system_error&) {
    // No thread to be had: it stays open until the process exits, which closes it.
  } catch (const std::bad_alloc&) {
  }
}

void Registry::at_exit() noexcept {
  if (!forked()) get().close_all_for_exit();
}

void Registry::close_all_for_exit() noexcept {
  for (;;) {
    sync::Ref<Core> core;
    {
      sync::LockGuard lock(mutex_);
      if (entries_.empty()) return;
      core = std::move(entries_.front().core);
      entries_.erase(entries_.begin());
    }
    core->close(CloseMode::exit);
    // Threads that still run may use it: it stays as it is, and reachable, also when they have let go.
    sync::LockGuard lock(mutex_);
    core->next_kept = kept_;
    kept_ = core.release();
  }
}

}  // namespace millrace
