// Handlers beside the commit of the buffer that they are added to.
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

// It belongs to the buffer that is committed or to the next one, and runs with it.
const Register added(
    "handlers.added_against_commit", "H1 B2",
    [] {
      TinyDevice device;
      const StreamId stream = device.streams().default_stream();
      sync::atomic<int> ran{0};
      const auto add = [&] {
        // relaxed: read once the device is closed.
        device.streams().add_handler(
            stream, HandlerKind::completed,
            [&](const Completion&) { ran.fetch_add(1, std::memory_order_relaxed); }, "test");
      };
      add();
      thread adding(add);
      static_cast<void>(device.streams().commit(stream, "test"));
      adding.join();
      device.close();
      INTERLEAVE_EXPECT(ran.load(std::memory_order_relaxed) == 2);
    },
    with_device());

// Before the device closes, which would run what is left.
const Register synchronized(
    "handlers.synchronized", "H1",
    [] {
      TinyDevice device({.streams = 2});
      const StreamId stream = device.streams().default_stream();
      bool ran = false;
      device.streams().add_handler(
          stream, HandlerKind::completed, [&](const Completion&) { ran = true; }, "test");
      device.streams().synchronize("test");
      INTERLEAVE_EXPECT(ran);
    },
    with_device());

// What was committed is done, and told, when the device has closed.
const Register closed(
    "handlers.completion_against_close", "D1 H1 B3",
    [] {
      TinyDevice device({.streams = 2});
      const StreamId stream = device.streams().default_stream();
      bool done = false, told = false;
      Operation operation;
      operation.work = TaskWork{[&] { done = true; }};
      device.streams().record(stream, std::move(operation), "test");
      device.streams().add_handler(
          stream, HandlerKind::completed, [&](const Completion&) { told = done; }, "test");
      static_cast<void>(device.streams().commit(stream, "test"));
      device.close();
      INTERLEAVE_EXPECT(done && told);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
