// Two threads that wait for the same: work, a command buffer, handlers, room.
#include "one_stream.h"

namespace millrace::verify {
namespace {

using interleave::thread;

// Both are woken by one completion, and see what the work did.
const Register for_value(
    "waiter.two_wait_for_a_value", "S2 B3",
    [] {
      OneStream one;
      int done = 0;
      one.state().record(one.generation(), task([&] { done = 1; }), "run");
      one.commit();
      thread runs([&] { INTERLEAVE_EXPECT(one.device.backend().run_next()); });
      at_once([&](int me) {
        // As the calls of Stream and CommandBuffer do in the end.
        const bool in_time = me == 0 ? one.state().wait_until_completed(1, std::nullopt)
                                     : one.state().wait_until_final(*one.buffer, std::nullopt);
        INTERLEAVE_EXPECT(in_time && done == 1);
      });
      at_once([&](int me) {
        const bool in_time = me == 1 ? one.state().wait_until_completed(1, std::nullopt)
                                     : one.state().wait_until_final(*one.buffer, std::nullopt);
        INTERLEAVE_EXPECT(in_time);
      });
      runs.join();
    },
    with_device());

const Register for_buffer(
    "waiter.two_wait_for_a_buffer", "B3",
    [] {
      OneStream one;
      int done = 0;
      one.state().record(one.generation(), task([&] { done = 1; }), "run");
      one.commit();
      thread runs([&] { INTERLEAVE_EXPECT(one.device.backend().run_next()); });
      at_once([&](int) {
        one.device.streams().wait(*one.buffer, std::nullopt, "wait");
        INTERLEAVE_EXPECT(done == 1);
      });
      runs.join();
    },
    with_device());

// Whoever gives up has waited until the limit; whoever does not sees what the work did.
const Register with_limit(
    "waiter.two_wait_with_a_limit", "S2",
    [] {
      OneStream one;
      int done = 0;
      one.state().record(one.generation(), task([&] { done = 1; }), "run");
      one.commit();
      thread runs([&] { INTERLEAVE_EXPECT(one.device.backend().run_next()); });
      at_once([&](int) {
        const sync::Deadline limit = sync::deadline_after(std::chrono::milliseconds(1));
        if (one.state().wait_until_completed(1, limit)) INTERLEAVE_EXPECT(done == 1);
      });
      runs.join();
    },
    with_device());

// One buffer may be uncompleted: both wait until it is done, and then commit what each has recorded.
const Register for_room(
    "waiter.two_wait_for_room", "S1 S7",
    [] {
      TinyDevice device(by_hand({.streams = 2, .max_uncompleted = 1}));
      const StreamId stream = device.streams().default_stream();
      const sync::Ref<BufferState> buffer = device.streams().current_buffer(stream, "current");
      buffer->stream().record(stream.generation, task(), "run");
      device.streams().commit(stream, "commit");
      thread runs([&] { INTERLEAVE_EXPECT(device.backend().run_next()); });
      at_once([&](int) {
        INTERLEAVE_EXPECT(buffer->stream().wait_for_room(std::nullopt));
        INTERLEAVE_EXPECT(is_final(buffer->status()));
      });
      runs.join();
    },
    with_device());

// The thread that tells handlers wakes both.
const Register for_handlers(
    "waiter.two_wait_for_handlers", "H1",
    [] {
      OneStream one;
      int told = 0;
      one.device.streams().add_handler(
          one.stream, HandlerKind::completed,
          [&](const Completion&) {
            ++told;
            throw 1;  // which is counted, and told to nobody
          },
          "add");
      one.commit();
      at_once([&](int) {
        INTERLEAVE_EXPECT(one.device.streams().dispatcher().wait_until_idle(std::nullopt));
        INTERLEAVE_EXPECT(told == 1);
      });
      INTERLEAVE_EXPECT(one.device.streams().stats().handler_exceptions == 1);
    },
    with_device());

const Register for_handlers_with_limit(
    "waiter.two_wait_for_handlers_with_a_limit", "H1",
    [] {
      OneStream one;
      int told = 0;
      one.device.streams().add_handler(
          one.stream, HandlerKind::completed, [&](const Completion&) { ++told; }, "add");
      one.commit();
      at_once([&](int) {
        const sync::Deadline limit = sync::deadline_after(std::chrono::milliseconds(1));
        if (one.device.streams().dispatcher().wait_until_idle(limit)) INTERLEAVE_EXPECT(told == 1);
      });
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
