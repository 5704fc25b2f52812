// A device of the stream and event layers over a fake backend.
#pragma once

#include <gtest/gtest.h>
#include <millrace/device.h>

#include <memory>
#include <utility>

#include "api/access.h"
#include "device/core.h"
#include "device/registry.h"
#include "event/pool.h"
#include "stream/pool.h"
#include "support/fake_backend.h"

namespace millrace::test {

/// Opens on construction; on destruction closes, with the backend running freely, and checks that the stream
/// layer kept to the contract of backends.
///
/// Thread safety: all members but close from any thread.
class FakeDevice {
 public:
  FakeDevice() : FakeDevice(few_streams()) {}
  explicit FakeDevice(const StreamPool::Options& options, UseChecker* checker = nullptr,
                      const EventPool::Options& events = {}) {
    setup() = {options, checker, events};
    core_ = Registry::get().create("fake:0", DeviceOptions(), &build);
  }
  ~FakeDevice() {
    close();
    EXPECT_TRUE(backend().violations().empty()) << backend().violations().front();
  }
  FakeDevice(const FakeDevice&) = delete;
  FakeDevice& operator=(const FakeDevice&) = delete;

  static StreamPool::Options few_streams(int streams = 4) {
    StreamPool::Options options;
    options.streams = streams;
    return options;
  }

  Core& core() { return *core_; }
  FakeBackend& backend() { return static_cast<FakeBackend&>(core_->backend()); }
  StreamPool& pool() { return StreamPool::of(*core_); }
  EventPool& events() { return EventPool::of(*core_); }

  /// The calling thread's.
  Context& context() { return detail::Access::context_of(core_->id(), "test"); }

  /// What Device::stream, lease, event and default_stream give.
  Stream stream() { return detail::Access::make_stream(*core_, StreamPool::current(context(), "test")); }
  StreamLease lease() {
    return detail::Access::make_lease(detail::Access::make_stream(*core_, pool().lease(context(), "test")));
  }
  Event event() {
    const EventPool::Lease lease = events().get(context(), "test");
    return detail::Access::make_event(*core_, lease.slot, lease.number);
  }
  Stream default_stream() { return detail::Access::make_stream(*core_, pool().default_stream()); }

  void close() {
    if (std::exchange(closed_, true)) return;
    if (!std::exchange(free_, true)) backend().run_freely();
    core_->add_ref();  // drop_handle drops the one that came with the handle
    core_->drop_handle();
    core_->close(CloseMode::drain);
  }
  void run_freely(int threads) {
    free_ = true;
    backend().run_freely(threads);
  }

 private:
  struct Setup {
    StreamPool::Options options;
    UseChecker* checker = nullptr;
    EventPool::Options events;
  };
  struct NoMemory final : Layer {
    std::unique_ptr<ContextPart> make_part(Context&) override { return nullptr; }
  };

  static Setup& setup() {
    static thread_local Setup setup;  // how it reaches build, which is a plain function
    return setup;
  }
  static sync::Ref<Core> build(const std::string& name, const DeviceOptions& options) {
    auto core = sync::make_ref<Core>(name, options, std::make_unique<FakeBackend>());
    core->install(LayerId::streams, std::make_unique<StreamPool>(*core, setup().options));
    core->install(LayerId::events, std::make_unique<EventPool>(*core, setup().events));
    for (const LayerId layer : {LayerId::memory, LayerId::pinned})
      core->install(layer, std::make_unique<NoMemory>());
    core->set_use_checker(setup().checker);
    core->backend().start(setup().options.streams, StreamPool::of(*core)).throw_if_failed();
    return core;
  }

  sync::Ref<Core> core_;
  bool closed_ = false;
  bool free_ = false;
};

}  // namespace millrace::test
