// bench alloc, modes lease, event and query: what a device hands out besides memory.
#include <stdexcept>

#include <millrace/device.h>

#include "bench/alloc_field.h"

namespace millrace::tool {
namespace {

class alignas(128) Leases final : public TimedWork {
 public:
  explicit Leases(Device& device) : device_(device) {}
  void warm_up() override { run(); }
  std::uint64_t run() override {
    for (std::size_t i = 0; i < kOperationsALook; ++i) device_.lease().reset();
    return kOperationsALook;
  }

 private:
  Device& device_;
};

class alignas(128) Events final : public TimedWork {
 public:
  explicit Events(Device& device) : device_(device) {}
  void warm_up() override { run(); }
  std::uint64_t run() override {
    for (std::size_t i = 0; i < kOperationsALook; ++i) device_.event().reset();
    return kOperationsALook;
  }

 private:
  Device& device_;
};

class alignas(128) Queries final : public TimedWork {
 public:
  explicit Queries(Device& device) : device_(device), buffer_(device.buffer(4096)), event_(device.event()) {}
  void warm_up() override {
    Stream stream = device_.stream();
    stream.fill(buffer_.data(), 1, buffer_.size());
    event_.record(stream);
    stream.wait();
    run();
  }
  std::uint64_t run() override {
    bool done = true;
    for (std::size_t i = 0; i < kOperationsALook; ++i) done &= event_.query();
    if (!done) throw std::logic_error("an event is not done whose work has been waited for");
    return kOperationsALook;
  }

 private:
  Device& device_;
  Buffer buffer_;
  Event event_;
};

template <typename Work>
AllocContestant contestant(AllocField& field) {
  return {"millrace", [&field](const AllocCase&, int threads) {
            const TimedRun run = run_timed(threads, field.duration, [&](int) -> std::unique_ptr<TimedWork> {
              return std::make_unique<Work>(field.device);
            });
            return ns_of_a_core(run, threads);
          }};
}

}  // namespace

AllocMeasurement pool_measurement(AllocMode mode, AllocField& field) {
  AllocMeasurement all{{{info_of(mode).name}}, {}};
  if (mode == AllocMode::lease) all.contestants.push_back(contestant<Leases>(field));
  if (mode == AllocMode::event) all.contestants.push_back(contestant<Events>(field));
  if (mode == AllocMode::query) all.contestants.push_back(contestant<Queries>(field));
  return all;
}

}  // namespace millrace::tool
