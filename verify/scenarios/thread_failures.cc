// The system has no thread left: each start of a thread of the core's own fails once, wherever it is.
#include <memory>
#include <new>
#include <string>

#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

TinyOptions two_streams() {
  TinyOptions options;
  options.streams = 2;
  return options;
}

/// Handlers of one stream, which are told as long as the device has a thread for them. Each has memory of its
/// own, so that one that is lost leaks.
struct Handlers {
  explicit Handlers(TinyDevice& its) : device(its), stream(its.streams().default_stream()) {}

  TinyDevice& device;
  const StreamId stream;
  int told = 0;

  void add() {
    device.streams().add_handler(
        stream, HandlerKind::completed,
        [this, own = std::make_shared<int>(1)](const Completion&) { told += *own; }, "on_completed");
  }
  /// False if the thread could not be had that tells it.
  bool try_to_add() {
    interleave::fail_threads(1);
    bool added = true;
    try {
      add();
    } catch (const Error& error) {
      INTERLEAVE_EXPECT(error.code() == ErrorCode::OutOfMemory);
      added = false;
    }
    INTERLEAVE_EXPECT(added == (interleave::fail_threads(0) != 0));
    return added;
  }
};

// A handler that could not be added is dropped untold; the next one finds its thread.
const Register first_handler(
    "thread_failures.first_handler", "H1",
    [] {
      TinyDevice device(two_streams());
      Handlers handlers(device);
      const bool added = handlers.try_to_add();
      handlers.add();
      device.streams().synchronize("test");
      INTERLEAVE_EXPECT(handlers.told == 1 + added);
    },
    with_device());

// By the buffer that they are added to.
const Register first_of_a_buffer(
    "thread_failures.first_handler_of_a_buffer", "H1 B1",
    [] {
      int told = 0, added = 0;
      {
        TinyDevice device(two_streams());
        const StreamId stream = device.streams().default_stream();
        const sync::Ref<BufferState> buffer = device.streams().current_buffer(stream, "command_buffer");
        for (const HandlerKind kind : {HandlerKind::scheduled, HandlerKind::completed}) {
          interleave::fail_threads(1);
          try {
            device.streams().add_handler(
                *buffer, kind, [&](const Completion&) { ++told; }, "test");
            ++added;
          } catch (const Error& error) {
            INTERLEAVE_EXPECT(error.code() == ErrorCode::OutOfMemory);
          }
        }
        interleave::fail_threads(0);
        device.streams().commit(*buffer, "commit");
      }
      INTERLEAVE_EXPECT(told == added);
    },
    with_device());

// Of two who come first, either may be refused, or both.
const Register two_begin(
    "thread_failures.two_first_handlers", "H1",
    [] {
      TinyDevice device(two_streams());
      Handlers handlers(device);
      bool others = false;
      thread other([&] { others = handlers.try_to_add(); });
      const bool ours = handlers.try_to_add();
      other.join();
      device.streams().synchronize("test");
      INTERLEAVE_EXPECT(handlers.told == others + ours);
    },
    with_device());

// Who has a thread beside one who gets none.
const Register beside(
    "thread_failures.handler_beside_one_that_is_refused", "H1 H3",
    [] {
      TinyDevice device(two_streams());
      Handlers handlers(device);
      bool others = false;
      thread other([&] { others = handlers.try_to_add(); });
      handlers.add();
      other.join();
      static_cast<void>(device.streams().commit(handlers.stream, "commit"));
      handlers.add();
      device.streams().synchronize("test");
      INTERLEAVE_EXPECT(handlers.told == 2 + others);
    },
    with_device());

// A device that has never had a thread for handlers closes, whoever still asks for one.
const Register against_close(
    "thread_failures.handler_against_close", "D1 H1",
    [] {
      TinyDevice device(two_streams());
      Handlers handlers(device);
      bool added = false;
      thread adder([&] {
        interleave::fail_threads(1);
        try {
          handlers.add();
          added = true;
        } catch (const Error& error) {
          INTERLEAVE_EXPECT(error.code() == ErrorCode::OutOfMemory || error.code() == ErrorCode::Closed);
        }
      });
      device.close();
      adder.join();
      INTERLEAVE_EXPECT(handlers.told == added);
    },
    with_device());

/// Adds it, but may be told that there is no memory or no thread for it.
bool try_without_memory(Handlers& handlers) {
  interleave::fail_allocations(1);
  interleave::fail_threads(1);
  bool added = true;
  try {
    handlers.add();
  } catch (const std::bad_alloc&) {
    added = false;
  } catch (const Error& error) {
    INTERLEAVE_EXPECT(error.code() == ErrorCode::OutOfMemory);
    added = false;
  }
  interleave::fail_allocations(0);
  interleave::fail_threads(0);
  return added;
}

// Neither memory nor a thread, and while the one is said to be missing the other is missing, too.
const Register no_memory_either(
    "thread_failures.first_handler_without_memory", "H1",
    [] {
      TinyDevice device(two_streams());
      Handlers handlers(device);
      const bool added = try_without_memory(handlers);
      handlers.add();
      device.streams().synchronize("test");
      INTERLEAVE_EXPECT(handlers.told == 1 + added);
    },
    with_device());

const Register two_without_memory(
    "thread_failures.two_first_handlers_without_memory", "H1",
    [] {
      TinyDevice device(two_streams());
      Handlers handlers(device);
      bool others = false;
      thread other([&] { others = try_without_memory(handlers); });
      const bool ours = try_without_memory(handlers);
      other.join();
      device.streams().synchronize("test");
      INTERLEAVE_EXPECT(handlers.told == others + ours);
    },
    with_device());

/// A device's last handle is dropped by a handler, which finds no thread to close the device on, or no memory
/// for that.
struct Dropped {
  interleave::atomic<bool> done{false};
  bool failed = false;  // before done

  void drop(TinyDevice& device) {
    interleave::fail_threads(1);
    interleave::fail_allocations(1);
    sync::Ref<Core>::share(&device.core()).release()->drop_handle();
    const unsigned left = interleave::fail_threads(0) + interleave::fail_allocations(0);
    failed = left != 2;
    done.store(true, std::memory_order_release);
  }
  void wait() {
    interleave::await(
        done, [](bool is_done) { return is_done; }, std::memory_order_acquire);
  }
};

// No thread to close it on: it stays open, and works, until somebody else closes it.
const Register dropped(
    "thread_failures.last_handle_dropped_in_a_handler", "D1 H1 H4",
    [] {
      TinyDevice device(two_streams());
      Handlers handlers(device);
      Dropped dropped;
      device.streams().add_handler(
          handlers.stream, HandlerKind::completed, [&](const Completion&) { dropped.drop(device); }, "test");
      static_cast<void>(device.streams().commit(handlers.stream, "commit"));
      dropped.wait();
      if (dropped.failed) {
        INTERLEAVE_EXPECT(device.core().is_open());
        handlers.add();
      }
      device.close();
      INTERLEAVE_EXPECT(handlers.told == (dropped.failed ? 1 : 0));
    },
    with_device());

// While somebody else closes it anyway.
const Register dropped_against_close(
    "thread_failures.last_handle_dropped_against_close", "D1 H4",
    [] {
      TinyDevice device(two_streams());
      const StreamId stream = device.streams().default_stream();
      Dropped dropped;
      device.streams().add_handler(
          stream, HandlerKind::completed, [&](const Completion&) { dropped.drop(device); }, "test");
      static_cast<void>(device.streams().commit(stream, "commit"));
      device.close();
      INTERLEAVE_EXPECT(!device.core().is_open());
      INTERLEAVE_EXPECT(dropped.done.load(std::memory_order_acquire));
    },
    with_device());

/// What the process leaves as it is when it exits.
interleave::Options where_the_process_exits() {
  interleave::Options options = with_device();
  options.leaks = false;
  options.tick = 1;  // at the beginning of time the longest limit is still one
  return options;
}

// Or until the process exits. How long that waits for handlers has no bound here, since threads that it
// leaves behind would go on for ever.
const Register dropped_until_exit(
    "thread_failures.open_until_the_process_exits", "D1 H4",
    [] {
      TinyOptions options = two_streams();
      options.exit_wait = std::chrono::nanoseconds::max();
      auto& device = *new TinyDevice(options);
      auto& dropped = *new Dropped;
      const StreamId stream = device.streams().default_stream();
      device.streams().add_handler(
          stream, HandlerKind::completed, [&](const Completion&) { dropped.drop(device); }, "test");
      static_cast<void>(device.streams().commit(stream, "commit"));
      dropped.wait();
      if (dropped.failed) INTERLEAVE_EXPECT(device.core().is_open());
      device.core().close(CloseMode::exit);
      INTERLEAVE_EXPECT(!device.core().is_open());
    },
    where_the_process_exits());

}  // namespace
}  // namespace millrace::verify
