// One thread's way through a device that is refused things.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <millrace/device.h>
#include <millrace/event.h>
#include <millrace/stream.h>

#include "faults.h"
#include "random.h"
#include "stress/fault_life.h"
#include "stress/runner.h"

namespace millrace::tool {

/// Thread safety: one thread, outside FaultsHere: what it asks of the library alone is refused.
class FaultUser {
 public:
  FaultUser(Device device, std::shared_ptr<Faults> faults, std::shared_ptr<FaultLife> life, Random random,
            std::uint64_t index, Findings& findings)
      : device_(std::move(device)),
        faults_(std::move(faults)),
        life_(std::move(life)),
        random_(random),
        index_(index),
        findings_(findings) {}

  void go();

 private:
  struct Work;
  struct Look;
  /// Memory and what it was filled with.
  struct Held {
    Buffer buffer;
    std::uint8_t value = 0;
    CommandBuffer filled;  // empty where the fill was refused
  };

  /// The call is made among faults: it does what it says, or has done nothing.
  template <typename Call>
  bool tried(Call&& call) {
    try {
      const FaultsHere scope(faults_);
      call();
      return true;
    } catch (const std::bad_alloc&) {
      if (!life_->allows_bad_alloc()) finding("no memory, though none was refused");
    } catch (const Error& error) {
      if (!life_->allows(error)) finding(error.what());
    } catch (const std::exception& error) {
      finding(fmt::format("no error of the library's: {}", error.what()));
    }
    return false;
  }

  void finding(std::string_view what) { findings_.error(fmt::format("iteration {}: {}", index_, what)); }

  /// A task and a handler for the command buffer that the stream is recording.
  void add_work(Stream stream);
  /// Counts what it says whether it was attached or not. attach: a call of on_scheduled or on_completed.
  template <typename Attach>
  bool attached(FaultHandler& handler, Attach&& attach);

  void own_stream();
  void leased_stream();
  void pass_on();
  void hold_memory();
  void look_at(const Held& held);
  void wait_a_little();
  void given_up();

  std::chrono::nanoseconds short_time() { return std::chrono::microseconds(random_.below(500)); }

  Device device_;
  const std::shared_ptr<Faults> faults_;
  const std::shared_ptr<FaultLife> life_;
  Random random_;
  const std::uint64_t index_;
  Findings& findings_;
  std::vector<Held> held_;
};

}  // namespace millrace::tool
