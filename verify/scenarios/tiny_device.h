// An open device over a backend that is small enough to explore.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include "device/core.h"
#include "device/registry.h"
#include "event/pool.h"
#include "memory/allocator.h"
#include "stream/pool.h"
#include "tiny_backend.h"
#include "tiny_work.h"

namespace millrace::verify {

/// Opening and closing a device are some 300 operations. max_preemptions: as in interleave::Options.
inline interleave::Options with_device(int max_preemptions = -1) {
  interleave::Options options;
  options.max_events = 2048;
  options.max_preemptions = max_preemptions;
  return options;
}

struct TinyOptions {
  std::size_t granules = 2;
  int streams = 3;  ///< the default one and two
  int wrapped_streams = 0;
  int captures = 0;
  ExhaustionPolicy exhaustion = ExhaustionPolicy::fail;
  int max_uncompleted = 64;
  TinyBackend::Runs runs = TinyBackend::Runs::on_its_thread;
  std::function<bool(std::size_t)> on_out_of_memory{};
  std::chrono::nanoseconds exit_wait = std::chrono::seconds(2);
  bool protect = false;
  int unsent_blocks = 1;  ///< so many that a thread freed for another arena go there together
  int cache_waits = 0;    ///< how often who is out of memory waits for a cache that is in use
};

/// Work runs where a scenario says so.
inline TinyOptions by_hand(TinyOptions options = {}) {
  options.runs = TinyBackend::Runs::by_hand;
  return options;
}

namespace detail {
// Made before any run: a run that made it would not do the same again.
inline Registry& registry = Registry::get();
}  // namespace detail

/// Closed when it ends, if it was not before; contexts end before it.
class TinyDevice {
 public:
  explicit TinyDevice(const TinyOptions& options = {}) {
    DeviceOptions device_options;
    device_options.streams = options.streams;
    device_options.exhaustion = options.exhaustion;
    device_options.out_of_memory_wait = std::chrono::milliseconds::max();  // else it ends at any time
    device_options.on_out_of_memory = options.on_out_of_memory;
    device_options.protect = options.protect;
    core_ = sync::make_ref<Core>("tiny", device_options,
                                 std::make_unique<TinyBackend>(options.granules, options.runs));
    StreamPool::Options pool;
    pool.streams = options.streams;
    pool.exhaustion = options.exhaustion;
    pool.exhaustion_timeout = std::chrono::milliseconds::max();
    pool.max_uncompleted = options.max_uncompleted;
    pool.wrapped_streams = options.wrapped_streams;
    pool.exit_wait = options.exit_wait;
    pool.captures = options.captures;
    core_->install(LayerId::streams, std::make_unique<StreamPool>(*core_, pool));
    core_->install(LayerId::events, std::make_unique<EventPool>(
                                        *core_, EventPool::Options{.chunk_slots = 2, .max_chunks = 1}));
    Geometry geometry = tiny_geometry();
    geometry.cache_waits = options.cache_waits;
    geometry.unsent_blocks = options.unsent_blocks;
    const auto map = std::make_shared<PageMap>(geometry);
    const std::size_t limit = options.granules * kGranule;
    for (const auto& [layer, kind] :
         {std::pair(LayerId::memory, MemoryKind::device), std::pair(LayerId::pinned, MemoryKind::pinned)}) {
      core_->install(layer, std::make_unique<Allocator>(
                                *core_, Allocator::Kind{kind, core_->backend(), geometry, limit}, map));
    }
    INTERLEAVE_EXPECT(backend().start(streams().size(), streams()).ok());
  }
  ~TinyDevice() { core_->close(CloseMode::drain); }
  TinyDevice(const TinyDevice&) = delete;
  TinyDevice& operator=(const TinyDevice&) = delete;

  Core& core() const noexcept { return *core_; }
  TinyBackend& backend() const noexcept { return static_cast<TinyBackend&>(core_->backend()); }
  StreamPool& streams() const noexcept { return StreamPool::of(*core_); }
  EventPool& events() const noexcept { return EventPool::of(*core_); }
  Allocator& memory() const noexcept { return static_cast<Allocator&>(core_->layer(LayerId::memory)); }
  Allocator& pinned() const noexcept { return static_cast<Allocator&>(core_->layer(LayerId::pinned)); }
  void close() noexcept { core_->close(CloseMode::drain); }

 private:
  sync::Ref<Core> core_;
};

/// A thread's context, made before the thread starts, so that what is explored is what the thread does. It is
/// one thread's; ends as a thread's does.
class TinyContext {
 public:
  explicit TinyContext(TinyDevice& device, std::uint64_t thread = 0)
      : context_(std::make_unique<Context>(sync::Ref<Core>::share(&device.core()), thread)) {
    for (std::size_t i = 0; i < kLayerCount; ++i) {
      const auto layer = static_cast<LayerId>(i);
      context_->set_part(layer, device.core().layer(layer).make_part(*context_));
    }
    device.core().attach(*context_);
  }
  ~TinyContext() { end(); }
  TinyContext(const TinyContext&) = delete;
  TinyContext& operator=(const TinyContext&) = delete;

  Context& get() const noexcept { return *context_; }
  /// As ThreadContexts does when the thread exits.
  void end() noexcept {
    if (!context_) return;
    if (context_->try_retire_own()) context_->retire_parts();
    context_->core().detach(*context_);
    context_.reset();
  }

 private:
  std::unique_ptr<Context> context_;
};

}  // namespace millrace::verify
