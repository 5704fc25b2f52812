// The methods of guards and of all that is used through them, for guard_states_test.cc: one row each.
#pragma once

#include <millrace/millrace.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/eventually.h"

namespace millrace::test {

/// What a method on a closed device or in a forked child is to do.
enum class Then : std::uint8_t {
  refuse,     // throw Closed, ForkedProcess
  either,     // do it all the same, or throw those
  not_throw,  // ends, frees and questions that always have an answer
};

inline void check(bool condition, const char* what) {
  if (!condition) throw std::logic_error(std::string("it did not do what it says: ") + what);
}

inline constexpr std::size_t kBytes = 4096;

/// Everything that methods can be called on, made while the device was open, with two guards in force.
struct Subject {
  explicit Subject(Device from) : device(std::move(from)) {
    stream.fill(block, 0, kBytes);  // the copies and reductions of the rows read it
    event.record(stream);
    commands.commit();
    commands.wait(kLimit);
    earlier.record(stream);
    stream.run("task", [] {});
    stream.wait(kLimit);
  }

  Device device;
  const std::string name = device.info().name;
  std::optional<DeviceGuard> device_guard{device};
  StreamLease lease = device.lease();
  std::optional<StreamGuard> stream_guard{lease.stream()};
  Stream stream = lease.stream();
  CommandBuffer commands = stream.command_buffer();
  Event event = device.event(), earlier = device.event();
  const MemoryPool pool = MemoryPool::create(device);
  void* const pooled = pool.allocate(stream, kBytes);
  Buffer memory = device.buffer(kBytes), result = device.buffer(kBytes);
  void* to_free = device.allocate(kBytes);
  void* const block = memory.data();
};

struct Row {
  const char* method;
  Then then;
  std::function<void(Subject&)> call;  // throws logic_error if it neither did it nor said so
  bool waits_for_everything = false;
};

inline void expect_committed_to(Stream stream) {
  stream.commit();
  stream.wait(kLimit);
  check(stream.query(), "work is done");
}

inline std::vector<Row> guard_rows() {
  return {
      {"DeviceGuard()", Then::either,
       [](Subject& s) {
         const DeviceGuard guard(s.device);
         check(guard.current().is_open() && current_device().is_open(), "made current");
       }},
      {"DeviceGuard::set", Then::either,
       [](Subject& s) {
         s.device_guard->set(s.device);
         check(current_device().info().name == s.device.info().name, "made current");
       }},
      {"DeviceGuard::original", Then::either,
       [](Subject& s) { static_cast<void>(s.device_guard->original()); }},
      {"DeviceGuard::current", Then::either,
       [](Subject& s) { static_cast<void>(s.device_guard->current()); }},
      {"current_device", Then::either, [](Subject&) { static_cast<void>(current_device()); }},
      {"StreamGuard()", Then::either,
       [](Subject& s) {
         const StreamGuard guard(s.stream);
         check(guard.current() == s.stream && s.device.stream() == s.stream, "made current");
       }},
      {"StreamGuard::set", Then::either,
       [](Subject& s) {
         s.stream_guard->set(s.stream);
         check(s.device.stream() == s.stream, "made current");
       }},
      {"StreamGuard::original", Then::not_throw,
       [](Subject& s) { check(!(s.stream_guard->original() == s.stream), "the stream before"); }},
      {"StreamGuard::current", Then::not_throw,
       [](Subject& s) { check(s.stream_guard->current() == s.stream, "the guard's stream"); }},
  };
}

inline std::vector<Row> device_rows() {
  return {
      {"Device::is_open", Then::not_throw, [](Subject& s) { static_cast<void>(s.device.is_open()); }},
      {"Device::info", Then::either, [](Subject& s) { check(s.device.info().name == s.name, "its name"); }},
      {"Device::wrap, capture", Then::refuse,
       [](Subject& s) {
         bool has_them = true;
         for (const bool wrap : {false, true}) {
           try {
             wrap ? static_cast<void>(s.device.wrap(nullptr)) : static_cast<void>(s.device.capture());
           } catch (const Error& error) {
             if (error.code() != ErrorCode::Unsupported) throw;
             has_them = false;
           }
         }
         check(has_them == s.device.info().driver_streams, "does it, or says that it can't");
       }},
      {"Device::lease(high)", Then::refuse,
       [](Subject& s) { expect_committed_to(s.device.lease(StreamPriority::high).stream()); }},
      {"Device(Device)", Then::not_throw,
       [](Subject& s) {
         Device copy = s.device;
         Device moved = std::move(copy);
       }},
      {"Device::available", Then::either,
       [](Subject&) { check(!Device::available().empty(), "at least host"); }},
      {"Device::allocate", Then::refuse, [](Subject& s) { s.device.deallocate(s.device.allocate(100)); }},
      {"Device::allocate(stream)", Then::refuse,
       [](Subject& s) { s.device.deallocate(s.device.allocate(s.stream, 100)); }},
      {"current_device().allocate", Then::refuse,
       [](Subject&) { current_device().deallocate(current_device().allocate(100)); }},
      {"Device::buffer", Then::refuse,
       [](Subject& s) { check(s.device.buffer(100).size() == 100, "its size"); }},
      {"Device::buffer(stream)", Then::refuse,
       [](Subject& s) { check(s.device.buffer(s.stream, 100).size() == 100, "its size"); }},
      {"Device::record_use", Then::refuse, [](Subject& s) { s.device.record_use(s.block, s.stream); }},
      {"Device::record_stream", Then::refuse, [](Subject& s) { s.device.record_stream(s.block, s.stream); }},
      {"Device::make_discardable", Then::refuse, [](Subject& s) { s.device.make_discardable(s.block); }},
      {"Device::make_resident", Then::refuse,
       [](Subject& s) { static_cast<void>(s.device.make_resident(s.block)); }},
      {"Device::stream", Then::refuse,
       [](Subject& s) { check(s.device.stream() == s.stream, "the guard's"); }},
      {"Device::default_stream", Then::refuse,
       [](Subject& s) { check(s.device.default_stream().id() == 0, "0"); }},
      {"Device::lease", Then::refuse,
       [](Subject& s) { check(s.device.lease().stream().valid(), "a stream"); }},
      {"Device::event", Then::refuse, [](Subject& s) { check(s.device.event().query(), "a new event"); }},
      {"Device::memory", Then::refuse,
       [](Subject& s) { check(s.device.memory().live >= kBytes, "live bytes"); }},
      {"Device::size_of", Then::refuse,
       [](Subject& s) { check(s.device.size_of(s.block) > 0, "its bytes"); }},
      {"Device::memory_segments", Then::refuse,
       [](Subject& s) { check(!s.device.memory_segments().empty(), "the live blocks'"); }},
      {"Device::memory_statistics", Then::refuse,
       [](Subject& s) { check(s.device.memory_statistics().allocations.all.current >= 3, "live blocks"); }},
      {"Device::add_memory_observer", Then::refuse,
       [](Subject& s) {
         struct Ignores final : MemoryObserver {
           void on_segment(const SegmentChange&) noexcept override {}
           void on_out_of_memory(const OutOfMemoryReport&) noexcept override {}
         };
         s.device.add_memory_observer(std::make_shared<Ignores>());
       }},
      {"MemoryPool::create", Then::refuse,
       [](Subject& s) { check(MemoryPool::create(s.device).drop_user() == 0, "its user"); }},
      {"MemoryPool::allocate", Then::refuse,
       [](Subject& s) { s.device.deallocate(s.pool.allocate(s.stream, 100)); }},
      {"MemoryPool::add_user, drop_user", Then::refuse,
       [](Subject& s) {
         s.pool.add_user();
         check(s.pool.drop_user() == 1, "the first user");
       }},
      {"MemoryPool::users", Then::refuse, [](Subject& s) { check(s.pool.users() == 1, "the first user"); }},
      {"MemoryPool::set_use_on_oom", Then::refuse, [](Subject& s) { s.pool.set_use_on_oom(false); }},
      {"MemoryPool::trim", Then::refuse,
       [](Subject& s) { check(s.pool.trim() == 0, "nothing of a used one"); }},
      {"MemoryPool::segments", Then::refuse,
       [](Subject& s) { check(!s.pool.segments().empty(), "the live block's"); }},
      {"MemoryPool::checkpoint, restore", Then::refuse,
       [](Subject& s) { check(s.pool.restore(s.pool.checkpoint()).freed.empty(), "no change"); }},
      {"Device::streams", Then::refuse, [](Subject& s) { check(s.device.streams().leased >= 1, "leases"); }},
      {"Device::missing_dependencies", Then::either,
       [](Subject& s) { check(s.device.missing_dependencies().empty(), "none"); }},
      {"Device::trim", Then::refuse, [](Subject& s) { static_cast<void>(s.device.trim()); }},
      {"Device::set_memory_limit", Then::refuse,
       [](Subject& s) { s.device.set_memory_limit(std::size_t{100} << 20); }},
      {"Device::reset_peaks", Then::refuse, [](Subject& s) { s.device.reset_peaks(); }},
      {"Device::check_accounting", Then::refuse, [](Subject& s) { s.device.check_accounting(); }},
  };
}

inline std::vector<Row> stream_rows() {
  return {
      {"Stream::id, valid", Then::not_throw,
       [](Subject& s) { check(s.stream.valid() && s.stream.id() > 0, "its number"); }},
      {"Stream::copy", Then::refuse, [](Subject& s) { s.stream.copy(s.result.data(), s.block, 8); }},
      {"Stream::fill", Then::refuse, [](Subject& s) { s.stream.fill(s.block, 1, 8); }},
      {"Stream::run", Then::refuse, [](Subject& s) { s.stream.run("task", [] {}); }},
      {"Stream::record, Recorder", Then::refuse,
       [](Subject& s) { s.stream.record().fill(s.block, 1, 8).end(); }},
      {"Stream::wait_event", Then::refuse, [](Subject& s) { s.stream.wait_event(s.event); }},
      {"Stream::on_scheduled", Then::refuse,
       [](Subject& s) { s.stream.on_scheduled([](const Completion&) {}); }},
      {"Stream::on_completed", Then::refuse,
       [](Subject& s) { s.stream.on_completed([](const Completion&) {}); }},
      {"Stream::command_buffer", Then::refuse,
       [](Subject& s) { check(s.stream.command_buffer().valid(), "one"); }},
      {"reduce", Then::refuse,
       [](Subject& s) {
         reduce(s.stream, ReduceOp::sum, contiguous(s.block, DType::f32, {8}),
                contiguous(s.result.data(), DType::f32, {}));
       }},
      {"statistics", Then::refuse,
       [](Subject& s) {
         statistics(s.stream, contiguous(s.block, DType::f32, {8}), s.result.as<Statistics>());
       }},
      {"Stream::commit, wait, query", Then::refuse, [](Subject& s) { expect_committed_to(s.stream); }},
      {"Stream::query", Then::refuse, [](Subject& s) { static_cast<void>(s.stream.query()); }},
      {"Stream::wait", Then::refuse, [](Subject& s) { s.stream.wait(); }},
      {"Stream::wait(limit)", Then::refuse, [](Subject& s) { s.stream.wait(kLimit); }},
      {"current_device().stream().run", Then::refuse,
       [](Subject&) {
         Stream stream = current_device().stream();
         stream.run("task", [] {});
         expect_committed_to(stream);
       }},
      {"CommandBuffer::record, on_*, commit, wait", Then::refuse,
       [](Subject& s) {
         CommandBuffer commands = s.stream.command_buffer();
         commands.record().fill(s.block, 1, 8).end();
         commands.on_scheduled([](const Completion&) {});
         commands.on_completed([](const Completion&) {});
         commands.commit();
         commands.wait(kLimit);
         check(commands.status() == BufferStatus::completed, "completed");
       }},
      {"CommandBuffer::abandon", Then::refuse, [](Subject& s) { s.stream.command_buffer().abandon(); }},
      {"CommandBuffer::status", Then::either,
       [](Subject& s) { check(is_final(s.commands.status()), "final"); }},
      {"CommandBuffer::error", Then::either,
       [](Subject& s) { check(s.commands.error() == nullptr, "none"); }},
      {"CommandBuffer::wait", Then::either, [](Subject& s) { s.commands.wait(kLimit); }},
  };
}

inline std::vector<Row> event_rows() {
  return {
      {"Event::valid", Then::not_throw, [](Subject& s) { check(s.event.valid(), "an event"); }},
      {"Event::generation", Then::either,
       [](Subject& s) { check(s.earlier.generation() == 1, "recorded once"); }},
      {"Event::elapsed_since", Then::either,
       [](Subject& s) {
         check(s.earlier.elapsed_since(s.earlier) == std::chrono::nanoseconds(0), "no time");
       }},
      {"Event::query", Then::either, [](Subject& s) { check(s.event.query(), "done"); }},
      {"Event::wait", Then::either, [](Subject& s) { s.event.wait(); }},
      {"Event::wait(limit)", Then::either, [](Subject& s) { s.event.wait(kLimit); }},
      {"Event::record", Then::refuse,
       [](Subject& s) {
         s.event.record(s.stream);
         s.stream.commit();
         s.event.wait(kLimit);
         check(s.event.query() && s.event.generation() >= 2, "recorded again");
       }},
  };
}

/// What ends things: last, each once.
inline std::vector<Row> ending_rows() {
  return {
      {"Device::deallocate", Then::not_throw, [](Subject& s) { s.device.deallocate(s.to_free); }},
      {"Buffer::reset", Then::not_throw, [](Subject& s) { s.result.reset(); }},
      {"~Buffer", Then::not_throw, [](Subject& s) { s.memory = Buffer(); }},
      {"Event::reset", Then::not_throw, [](Subject& s) { s.event.reset(); }},
      {"~Event", Then::not_throw, [](Subject& s) { s.earlier = Event(); }},
      {"~CommandBuffer", Then::not_throw, [](Subject& s) { s.commands = CommandBuffer(); }},
      {"~StreamGuard", Then::not_throw,
       [](Subject& s) {
         s.stream_guard.reset();
         check(!s.device.is_open() || !(s.device.stream() == s.stream), "the stream before is current");
       }},
      {"StreamLease::reset", Then::not_throw, [](Subject& s) { s.lease.reset(); }},
      {"~DeviceGuard", Then::not_throw, [](Subject& s) { s.device_guard.reset(); }},
      {"Device::synchronize", Then::refuse, [](Subject& s) { s.device.synchronize(); }, true},
      {"Device::close", Then::either,
       [](Subject& s) {
         s.device.close();
         check(!s.device.is_open(), "closed");
       },
       true},
      {"~Device", Then::not_throw, [](Subject& s) { s.device = Device(); }},
  };
}

}  // namespace millrace::test
