// Small programs on three streams: some order what they do to their memory, some do not.
#pragma once

#include <millrace/millrace.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <ostream>
#include <thread>

#include "support/test_device.h"

namespace millrace::test {

inline constexpr std::size_t kBytes = 8192, kLargeBytes = std::size_t{3} << 20;

/// A device in protect mode with three streams, two blocks, and words for what programs do.
class Bench {
 public:
  explicit Bench(bool settle) : settle_(settle) {}

  Device device = create_test_device({.memory_limit = std::size_t{128} << 20, .workers = 3, .protect = true});
  StreamLease lease_a = device.lease(), lease_b = device.lease(), lease_c = device.lease();
  Stream a = lease_a.stream(), b = lease_b.stream(), c = lease_c.stream();
  Buffer memory_x = device.buffer(a, kBytes), memory_y = device.buffer(a, kBytes);

  void* X(std::size_t offset = 0) const { return memory_x.as<std::byte>() + offset; }
  void* Y() const { return memory_y.data(); }

  void read(Stream stream, const char* name, const void* at, std::size_t bytes = kBytes,
            SourcePlace place = SourcePlace::here()) {
    stream.run(
        name, [] {}, {reads(at, bytes)}, place);
    submit(stream);
  }
  void write(Stream stream, const char* name, void* at, std::size_t bytes = kBytes,
             SourcePlace place = SourcePlace::here()) {
    stream.run(
        name, [] {}, {writes(at, bytes)}, place);
    submit(stream);
  }
  /// After the waiter's next work comes whatever the stream has done so far.
  void order(Stream earlier, Stream waiter) {
    Event event = device.event();
    event.record(earlier);
    earlier.commit();
    waiter.wait_event(event);
  }
  /// In the runs that settle, work has been done long before the next is submitted: a detector that
  /// needs bad luck would miss it.
  void submit(Stream stream) {
    stream.commit();
    if (settle_) std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }

 private:
  const bool settle_;
};

struct Program {
  const char* name;
  const char* first;  // the operations that are to be named; null for right programs
  const char* second;
  std::function<void(Bench&)> run;
};

/// For the test framework's messages.
inline void PrintTo(const Program& program, std::ostream* out) {
  *out << program.name;
}

inline const Program kWrong[] = {
    {"read_of_a_write", "write", "read",
     [](Bench& t) {
       t.write(t.a, "write", t.X());
       t.read(t.b, "read", t.X());
     }},
    {"two_writes", "write 1", "write 2",
     [](Bench& t) {
       t.write(t.a, "write 1", t.X());
       t.write(t.b, "write 2", t.X());
     }},
    {"write_over_a_read", "read", "write",
     [](Bench& t) {
       t.read(t.a, "read", t.X());
       t.write(t.b, "write", t.X());
     }},
    {"ranges_that_overlap_in_part", "upper", "lower",
     [](Bench& t) {
       t.write(t.a, "upper", t.X(1000), 2000);
       t.write(t.b, "lower", t.X(0), 1001);
     }},
    {"event_recorded_too_early", "write", "read",
     [](Bench& t) {
       Event event = t.device.event();
       t.read(t.a, "before", t.Y());
       event.record(t.a);
       t.write(t.a, "write", t.X());
       t.b.wait_event(event);
       t.read(t.b, "read", t.X());
     }},
    {"another_stream_waits", "write", "read",
     [](Bench& t) {
       t.write(t.a, "write", t.X());
       t.order(t.a, t.c);
       t.read(t.c, "right", t.X());
       t.read(t.b, "read", t.X());
     }},
    {"waiting_for_an_older_generation", "write", "read",
     [](Bench& t) {
       Event event = t.device.event();
       t.read(t.a, "before", t.Y());
       event.record(t.a);
       t.b.wait_event(event);
       t.write(t.a, "write", t.X());
       event.record(t.a);
       t.read(t.b, "read", t.X());
     }},
    {"the_host_waits_for_another_stream", "write", "read",
     [](Bench& t) {
       t.write(t.a, "write", t.X());
       t.write(t.c, "other", t.Y());
       t.c.wait();
       t.read(t.b, "read", t.X());
     }},
    {"a_broken_chain", "write", "read",
     [](Bench& t) {
       t.order(t.b, t.c);  // before b waits for a
       t.write(t.a, "write", t.X());
       t.order(t.a, t.b);
       t.read(t.b, "right", t.X());
       t.read(t.c, "read", t.X());
     }},
    {"one_of_two_readers_is_waited_for", "read 2", "write",
     [](Bench& t) {
       t.read(t.a, "read 1", t.X());
       t.read(t.b, "read 2", t.X());
       t.order(t.a, t.c);
       t.write(t.c, "write", t.X());
     }},
    {"memory_freed_without_record_use", "read", "write",
     [](Bench& t) {
       void* const first = t.device.allocate(t.a, kBytes);
       t.read(t.b, "read", first);
       t.device.deallocate(first);
       void* const next = t.device.allocate(t.a, kBytes);
       t.write(t.a, "write", next);
       t.device.deallocate(next);
     }},
    {"large_memory_freed_without_record_use", "write", "read",
     [](Bench& t) {
       void* const first = t.device.allocate(t.a, kLargeBytes);
       t.write(t.b, "write", first, kLargeBytes);
       t.device.deallocate(first);
       void* const next = t.device.allocate(t.a, kLargeBytes);
       t.order(t.a, t.c);
       t.read(t.c, "read", static_cast<std::byte*>(next) + kLargeBytes / 2);
       t.order(t.c, t.a);
       t.device.deallocate(next);
     }},
    {"memory_that_somebody_had_in_between", "read", "write",
     [](Bench& t) {
       void* memory = t.device.allocate(t.a, kBytes);
       t.read(t.b, "read", memory);
       for (int i = 0; i < 3; ++i) {
         t.device.deallocate(memory);
         memory = t.device.allocate(t.a, kBytes);
       }
       t.write(t.a, "write", memory);
       t.device.deallocate(memory);
     }},
    {"the_stream_has_waited_for_an_earlier_use_only", "read 2", "write",
     [](Bench& t) {
       void* const first = t.device.allocate(t.a, kBytes);
       t.read(t.b, "read 1", first);
       t.order(t.b, t.a);
       t.read(t.b, "read 2", first);
       t.device.deallocate(first);
       void* const next = t.device.allocate(t.a, kBytes);
       t.write(t.a, "write", next);
       t.device.deallocate(next);
     }},
    {"copies", "copy", "fill",
     [](Bench& t) {
       t.a.copy(t.Y(), t.X(), kBytes);
       t.submit(t.a);
       t.b.fill(t.X(), 3, 64);
       t.submit(t.b);
     }},
    {"a_reduction_of_unordered_input", "fill", "sum",
     [](Bench& t) {
       t.a.fill(t.X(), 0, kBytes);
       t.submit(t.a);
       reduce(t.b, ReduceOp::sum, contiguous(t.X(), DType::f32, {kBytes / 4}),
              contiguous(t.Y(), DType::f32, {}));
       t.submit(t.b);
     }},
};

inline const Program kRight[] = {
    {"one_stream", nullptr, nullptr,
     [](Bench& t) {
       t.write(t.a, "write", t.X());
       t.read(t.a, "read", t.X());
       t.write(t.a, "write again", t.X());
     }},
    {"an_event_between", nullptr, nullptr,
     [](Bench& t) {
       t.write(t.a, "write", t.X());
       t.order(t.a, t.b);
       t.read(t.b, "read", t.X());
     }},
    {"two_readers", nullptr, nullptr,
     [](Bench& t) {
       t.read(t.a, "read 1", t.X());
       t.read(t.b, "read 2", t.X());
     }},
    {"ranges_that_touch", nullptr, nullptr,
     [](Bench& t) {
       t.write(t.a, "lower", t.X(0), 1000);
       t.write(t.b, "upper", t.X(1000), 1000);
     }},
    {"a_chain_over_three_streams", nullptr, nullptr,
     [](Bench& t) {
       t.write(t.a, "write", t.X());
       t.order(t.a, t.b);
       t.write(t.b, "between", t.Y());
       t.order(t.b, t.c);
       t.read(t.c, "read", t.X());
     }},
    {"the_host_waits_for_the_stream", nullptr, nullptr,
     [](Bench& t) {
       t.write(t.a, "write", t.X());
       t.a.wait();
       t.read(t.b, "read", t.X());
     }},
    {"the_host_waits_for_an_event", nullptr, nullptr,
     [](Bench& t) {
       Event event = t.device.event();
       t.write(t.a, "write", t.X());
       event.record(t.a);
       t.a.commit();
       event.wait();
       t.read(t.b, "read", t.X());
     }},
    {"the_host_waits_for_a_command_buffer", nullptr, nullptr,
     [](Bench& t) {
       t.a.run("write", [] {}, {writes(t.X(), kBytes)});
       t.a.commit().wait();
       t.read(t.b, "read", t.X());
     }},
    {"the_host_synchronizes", nullptr, nullptr,
     [](Bench& t) {
       t.write(t.a, "write", t.X());
       t.device.synchronize();
       t.write(t.b, "write again", t.X());
     }},
    {"the_host_asks_until_it_is_done", nullptr, nullptr,
     [](Bench& t) {
       t.write(t.a, "write", t.X());
       while (!t.a.query()) std::this_thread::yield();
       t.read(t.b, "read", t.X());
     }},
    {"both_readers_are_waited_for", nullptr, nullptr,
     [](Bench& t) {
       t.read(t.a, "read 1", t.X());
       t.read(t.b, "read 2", t.X());
       t.order(t.a, t.c);
       t.order(t.b, t.c);
       t.write(t.c, "write", t.X());
     }},
    {"memory_reused_after_recorded_uses", nullptr, nullptr,
     [](Bench& t) {
       for (int i = 0; i < 20; ++i) {
         Buffer block = t.device.buffer(t.a, kBytes);
         t.write(t.a, "write", block.data());
         t.order(t.a, t.b);
         t.read(t.b, "read", block.data());
         t.device.record_use(block.data(), t.b);
       }
     }},
    {"memory_reused_once_its_stream_has_waited", nullptr, nullptr,
     [](Bench& t) {
       for (int i = 0; i < 20; ++i) {
         for (const std::size_t bytes : {kBytes, kLargeBytes}) {
           void* const block = t.device.allocate(t.a, bytes);
           t.write(t.a, "write", block);
           t.order(t.a, t.b);
           t.read(t.b, "read", block);
           t.order(t.b, t.a);
           t.device.deallocate(block);
         }
       }
     }},
    {"memory_whose_stream_waits_after_the_free", nullptr, nullptr,
     [](Bench& t) {
       void* const first = t.device.allocate(t.a, kBytes);
       t.read(t.b, "read", first);
       t.device.deallocate(first);
       void* const next = t.device.allocate(t.a, kBytes);
       t.order(t.b, t.c);
       t.order(t.c, t.a);
       t.write(t.a, "write", next);
       t.device.deallocate(next);
     }},
    {"memory_freed_in_use_and_used_no_more", nullptr, nullptr,
     [](Bench& t) {
       void* const block = t.device.allocate(t.a, kBytes);
       t.write(t.b, "write", block);
       t.device.deallocate(block);
       t.device.deallocate(t.device.allocate(t.a, kBytes));
       t.device.trim();
     }},
    {"memory_reused_on_its_own_stream", nullptr, nullptr,
     [](Bench& t) {
       for (int i = 0; i < 20; ++i) {
         Buffer block = t.device.buffer(t.a, kBytes);
         t.write(t.a, "write", block.data());
       }
     }},
    {"a_handler_goes_on_elsewhere", nullptr, nullptr,
     [](Bench& t) {
       t.a.run("write", [] {}, {writes(t.X(), kBytes)});
       t.a.on_completed([&t](const Completion&) { t.read(t.b, "read", t.X()); });
       t.a.wait();
       t.device.synchronize();
     }},
};

}  // namespace millrace::test
