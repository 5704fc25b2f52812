// What handlers do and what becomes of the others: one that throws, one that adds another, and those of a
// buffer that was given up.
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

const Register throws(
    "handlers.one_throws", "H1",
    [] {
      TinyDevice device({.streams = 2});
      const StreamId stream = device.streams().default_stream();
      bool ran = false;
      device.streams().add_handler(
          stream, HandlerKind::completed, [](const Completion&) { throw 1; }, "test");
      device.streams().add_handler(
          stream, HandlerKind::completed, [&](const Completion&) { ran = true; }, "test");
      device.streams().synchronize("test");
      INTERLEAVE_EXPECT(ran);
      INTERLEAVE_EXPECT(device.streams().stats().handler_exceptions == 1);
    },
    with_device());

// A handler may use the device, but for what would wait for the handler.
const Register adds(
    "handlers.add_another", "H1 H2",
    [] {
      TinyDevice device({.streams = 2});
      const StreamId stream = device.streams().default_stream();
      int ran = 0;
      device.streams().add_handler(
          stream, HandlerKind::completed,
          [&](const Completion&) {
            ++ran;
            device.streams().add_handler(
                stream, HandlerKind::completed, [&](const Completion&) { ++ran; }, "test");
          },
          "test");
      device.streams().synchronize("test");
      device.close();  // which tells the other one
      INTERLEAVE_EXPECT(ran == 2);
    },
    with_device());

// Who waits for handlers waits for all that were handed over before.
const Register twice(
    "handlers.synchronized_twice", "H1 H3",
    [] {
      TinyDevice device({.streams = 2});
      const StreamId stream = device.streams().default_stream();
      int ran = 0;
      for (int i = 0; i < 2; ++i) {
        device.streams().add_handler(
            stream, HandlerKind::completed, [&, i](const Completion&) { INTERLEAVE_EXPECT(ran++ == i); },
            "test");
        static_cast<void>(device.streams().commit(stream, "test"));
      }
      device.streams().synchronize("test");
      INTERLEAVE_EXPECT(ran == 2);
    },
    with_device());

// Of a buffer that is given up both kinds are told, in their order.
const Register given_up(
    "handlers.of_a_buffer_given_up", "H1 H3 B1",
    [] {
      int step = 0;
      {
        TinyDevice device({.streams = 2});
        const StreamId stream = device.streams().default_stream();
        for (const HandlerKind kind : {HandlerKind::completed, HandlerKind::scheduled}) {
          device.streams().add_handler(
              stream, kind,
              [&, kind](const Completion& completion) {
                INTERLEAVE_EXPECT(completion.status == BufferStatus::abandoned);
                INTERLEAVE_EXPECT(step++ == (kind == HandlerKind::scheduled ? 0 : 1));
              },
              "test");
        }
        const sync::Ref<BufferState> buffer = device.streams().current_buffer(stream, "test");
        thread owner([&] { device.streams().abandon(*buffer, "test"); });
        static_cast<void>(device.streams().stats());
        owner.join();
      }
      INTERLEAVE_EXPECT(step == 2);
    },
    with_device());

// The first handlers of a device come at once: one thread runs them all.
const Register two_begin(
    "handlers.two_begin", "H1",
    [] {
      TinyDevice device({.streams = 2});
      const StreamId stream = device.streams().default_stream();
      int ran = 0;
      const auto add = [&] {
        device.streams().add_handler(
            stream, HandlerKind::completed, [&](const Completion&) { ++ran; }, "test");
      };
      thread other(add);
      add();
      other.join();
      device.streams().synchronize("test");
      INTERLEAVE_EXPECT(ran == 2);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
