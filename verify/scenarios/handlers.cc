// Handlers of command buffers: each runs once, after what it waits for, whatever else happens.
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

// A handler that comes after the commit is refused; one that came before it runs once.
const Register handler_against_commit(
    "handler.added_against_commit", "H1 B1 B2",
    [] {
      int ran = 0;
      bool added = false;
      {
        TinyDevice device({.streams = 2});
        const StreamId stream = device.streams().default_stream();
        device.streams().record(stream, task(), "run");
        const sync::Ref<BufferState> buffer = device.streams().current_buffer(stream, "command_buffer");
        thread adder([&] {
          try {
            device.streams().add_handler(
                *buffer, HandlerKind::completed, [&](const Completion&) { ++ran; }, "on_completed");
            added = true;
          } catch (const Error& error) {
            INTERLEAVE_EXPECT(error.rule() == "completed-handler-after-commit");
          }
        });
        device.streams().commit(*buffer, "commit");
        adder.join();
      }
      INTERLEAVE_EXPECT(ran == (added ? 1 : 0));
    },
    with_device());

const Register in_order(
    "handler.scheduled_then_completed", "H1 H3 B3",
    [] {
      int step = 0;
      {
        TinyDevice device({.streams = 2});
        const StreamId stream = device.streams().default_stream();
        device.streams().record(stream, task(), "run");
        device.streams().add_handler(
            stream, HandlerKind::scheduled,
            [&](const Completion& completion) {
              INTERLEAVE_EXPECT(step++ == 0);
              INTERLEAVE_EXPECT(completion.status == BufferStatus::scheduled);
            },
            "on_scheduled");
        device.streams().add_handler(
            stream, HandlerKind::completed,
            [&](const Completion& completion) {
              INTERLEAVE_EXPECT(step++ == 1);
              INTERLEAVE_EXPECT(completion.status == BufferStatus::completed);
            },
            "on_completed");
        device.streams().commit(stream, "commit");
      }
      INTERLEAVE_EXPECT(step == 2);
    },
    with_device());

const Register add_against_close(
    "handler.added_against_close", "H1 D1",
    [] {
      int ran = 0;
      bool added = false;
      {
        TinyDevice device({.streams = 2});
        thread adder([&] {
          try {
            device.streams().add_handler(
                device.streams().default_stream(), HandlerKind::completed,
                [&](const Completion& completion) {
                  INTERLEAVE_EXPECT(completion.status == BufferStatus::closed);
                  ++ran;
                },
                "on_completed");
            added = true;
          } catch (const Error& error) {
            INTERLEAVE_EXPECT(error.code() == ErrorCode::Closed);
          }
        });
        device.close();
        adder.join();
      }
      INTERLEAVE_EXPECT(ran == (added ? 1 : 0));
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
