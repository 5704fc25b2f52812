// Threads that are inside every operation of a device, for as long as it is open.
#pragma once

#include <millrace/millrace.h>

#include <cstdint>
#include <thread>
#include <vector>

#include "lifecycle/program.h"

namespace millrace::test {

using Operation = void (*)(Device&);

inline void allocate_small(Device& device) {
  std::vector<Buffer> held;
  for (std::size_t i = 0; i < 50; ++i) held.push_back(device.buffer(100 + 700 * i));
}
inline void allocate_large(Device& device) {
  device.buffer(std::size_t{5} << 20).reset();
}
inline void stage_through_pinned(Device& device) {
  Stream stream = device.stream();
  Buffer target = device.buffer(stream, 9000);
  {
    const Buffer staged = device.pinned_buffer(stream, 9000);
    stream.copy(target.data(), staged.data(), 9000);
    stream.commit();
  }
  device.pinned_buffer(std::size_t{5} << 20).reset();
  static_cast<void>(device.memory(MemoryKind::pinned));
}
inline void run_out_of_memory(Device& device) {
  try {
    device.allocate(std::size_t{1} << 40);
  } catch (const OutOfMemoryError&) {
    return;
  }
  fail("a terabyte was allocated");
}
inline void free_elsewhere(Device& device) {
  Buffer buffer = device.buffer(3000);
  std::thread([&] { buffer.reset(); }).join();
}
inline void use_elsewhere(Device& device) {
  StreamLease other = device.lease();
  Buffer buffer = device.buffer(9000);
  Stream stream = other.stream();
  stream.fill(buffer.data(), 1, 9000);
  stream.commit();
  device.record_use(buffer.data(), stream);
}
inline void submit_and_wait(Device& device) {
  Buffer buffer = device.buffer(4096);
  Stream stream = device.stream();
  stream.fill(buffer.data(), 1, 4096);
  stream.run("task", [] {});
  stream.wait();
}
inline void submit_without_waiting(Device& device) {
  Stream stream = device.stream();
  stream.run("task", [] { std::this_thread::yield(); });
  stream.commit();
}
/// Another thread's synchronize commits every stream: in the middle of a recording one of the two hears of
/// a broken rule.
template <typename Call>
void may_break_a_rule(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::InvalidState) throw;
  }
}
inline void record_in_one(Device& device) {
  Buffer buffer = device.buffer(512);
  may_break_a_rule([&] {
    CommandBuffer commands = device.stream().command_buffer();
    commands.record().fill(buffer.data(), 0, 256).fill(buffer.data(), 1, 512).end();
    commands.commit();
    commands.wait();
  });
}
inline void add_handlers(Device& device) {
  Stream stream = device.stream();
  stream.run("task", [] {});
  stream.on_scheduled([](const Completion&) {});
  stream.on_completed([](const Completion&) {});
  stream.wait();
}
inline void use_events(Device& device) {
  StreamLease other = device.lease();
  Event event = device.event();
  Stream stream = device.stream();
  stream.run("task", [] {});
  event.record(stream);
  stream.commit();
  Stream waiter = other.stream();
  waiter.wait_event(event);
  waiter.run("after", [] {});
  waiter.wait();
  event.wait();
  static_cast<void>(event.query());
}
inline void lease_streams(Device& device) {
  StreamLease one = device.lease(), two = device.lease();
  std::thread([&] {
    try {
      static_cast<void>(device.stream());
    } catch (const Error& error) {
      if (error.code() != ErrorCode::Closed) fail("a stream for a new thread:", error.what());
    }
  }).join();
}
inline void nest_guards(Device& device) {
  StreamLease lease = device.lease();
  DeviceGuard outer(device);
  StreamGuard inner(lease.stream());
  device.buffer(100).reset();
}
inline void reduce_something(Device& device) {
  Buffer in = device.buffer(4096), out = device.buffer(8), all = device.buffer(sizeof(Statistics));
  Stream stream = device.stream();
  stream.fill(in.data(), 0, 4096);
  reduce(stream, ReduceOp::sum, contiguous(in.data(), DType::f32, {1024}),
         contiguous(out.data(), DType::f32, {}));
  statistics(stream, contiguous(in.data(), DType::f32, {1024}), all.as<Statistics>());
  stream.wait();
}
inline void ask(Device& device) {
  static_cast<void>(device.memory());
  static_cast<void>(device.memory_segments());
  static_cast<void>(device.memory_statistics());
  static_cast<void>(device.streams());
  static_cast<void>(device.missing_dependencies());
}
inline void use_a_pool(Device& device) {
  const MemoryPool pool = MemoryPool::create(device);
  void* const block = pool.allocate(device.stream(), 1000);
  const PoolCheckpoint checkpoint = pool.checkpoint();
  device.deallocate(block);
  if (!pool.restore(checkpoint).allocated.empty()) device.deallocate(block);
  pool.drop_user();
}
inline void give_memory_back(Device& device) {
  device.trim();
  device.reset_peaks();
  device.set_memory_limit(std::size_t{512} << 20);
}
inline void synchronize(Device& device) {
  may_break_a_rule([&] { device.synchronize(); });
}
inline void open_and_close(Device& device) {
  static_cast<void>(device.memory());  // Closed, when that is to end
  Device other = Device::create("host:3", {.workers = 1});
  other.buffer(1000).reset();
  other.close();
  Device shared = Device::open("host:4", {.workers = 1});
  shared.default_stream().run("task", [] {});
  shared.default_stream().commit();
}

inline constexpr Operation kEveryOperation[] = {
    allocate_small,
    allocate_large,
    stage_through_pinned,
    run_out_of_memory,
    free_elsewhere,
    use_elsewhere,
    submit_and_wait,
    record_in_one,
    add_handlers,
    use_events,
    lease_streams,
    nest_guards,
    reduce_something,
    ask,
    use_a_pool,
    synchronize,
    give_memory_back,
    open_and_close,
    submit_without_waiting,
};

inline Device busy_device() {
  return Device::create("host", {.memory_limit = std::size_t{512} << 20,
                                 .streams = 64,
                                 .workers = 3,
                                 .out_of_memory_wait = std::chrono::milliseconds(2)});
}

/// Pools that were dropped keep their memory until the work of all streams is done, and one is dropped every
/// few microseconds: beside that the limit is reached at times.
inline void unless_out_of_memory(Operation operation, Device& device) {
  try {
    operation(device);
  } catch (const OutOfMemoryError&) {
    return;
  }
}

/// A thread for each operation, which repeats it until the device is closed.
inline std::vector<std::thread> start_every_operation(const Device& device) {
  std::vector<std::thread> threads;
  for (const Operation operation : kEveryOperation) {
    threads.emplace_back([device = Device(device), operation]() mutable {
      try {
        for (;;) unless_out_of_memory(operation, device);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::Closed) fail("a busy thread ended with", error.what());
      }
    });
  }
  return threads;
}

}  // namespace millrace::test
