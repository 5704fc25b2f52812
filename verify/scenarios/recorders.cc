// Recorders and native work of two threads in one stream: one at a time, and each refused by name.
#include "one_stream.h"

namespace millrace::verify {
namespace {

// What is recorded is committed once, by the one or the other.
const Register two_encode(
    "recorder.two_encode_and_commit", "S7 B1 B2",
    [] {
      OneStream one;
      int ran = 0, recorded = 0;
      at_once([&](int) {
        sync::Ref<BufferState> mine;
        const std::string opened =
            rule_of([&] { mine = one.state().open_recorder(one.generation(), "encode"); });
        INTERLEAVE_EXPECT(opened.empty() || opened == "one-encoder");
        if (!mine) return;
        one.state().record(*mine, task([&] { ++ran; }), "run");
        ++recorded;  // nobody else has a recorder open
        one.state().end_recorder(*mine, "end");
        const std::string committed =
            rule_of([&] { static_cast<void>(one.state().commit(*mine, false, "commit")); });
        INTERLEAVE_EXPECT(committed.empty() || committed == "commit-once" ||
                          committed == "encoder-open-at-commit");
      });
      one.commit();
      one.run_all();
      INTERLEAVE_EXPECT(ran == recorded && ran >= 1);
    },
    with_device());

// As Device::synchronize commits, whoever has recorded.
const Register two_commit_any(
    "recorder.two_commit_whatever_there_is", "S1 S7",
    [] {
      OneStream one;
      int ran = 0;
      at_once([&](int) {
        one.state().record(one.generation(), task([&] { ++ran; }), "run");
        static_cast<void>(one.state().commit_any("synchronize"));
      });
      one.run_all();
      INTERLEAVE_EXPECT(ran == 2);
    },
    with_device());

// A recorder that is dropped open spoils its buffer, which can only be given up, once.
const Register two_drop(
    "recorder.two_drop_and_abandon", "B1 B2",
    [] {
      OneStream one;
      bool abandoned[2] = {};
      at_once([&](int me) {
        const std::string opened = rule_of([&] { one.state().open_recorder(*one.buffer, "encode"); });
        INTERLEAVE_EXPECT(opened.empty() || opened == "one-encoder" || opened == "encode-after-commit");
        if (opened.empty()) one.state().drop_recorder(*one.buffer);
        const std::string given_up = rule_of([&] { one.device.streams().abandon(*one.buffer, "abandon"); });
        INTERLEAVE_EXPECT(given_up.empty() || given_up == "commit-once");
        abandoned[me] = given_up.empty();
      });
      INTERLEAVE_EXPECT(abandoned[0] != abandoned[1]);
      INTERLEAVE_EXPECT(one.buffer->status() == BufferStatus::abandoned);
      one.run_all();
    },
    with_device());

// Native work is a segment of its own, alone in its buffer while it is put on the driver's stream.
const Register two_native(
    "recorder.two_put_native_work", "S7 S11 B2",
    [] {
      OneStream one;
      int put = 0;
      at_once([&](int) {
        const std::string free = rule_of([&] {
          one.state().check_no_recorder(one.generation(), "one-encoder", "native");
          one.state().check_wrapped(one.generation(), "native");
        });
        INTERLEAVE_EXPECT(free.empty() || free == "one-encoder");
        sync::Ref<BufferState> mine;
        const std::string opened =
            rule_of([&] { mine = one.state().open_native(one.generation(), 0, "native"); });
        INTERLEAVE_EXPECT(opened.empty() || opened == "one-encoder");
        if (!mine) return;
        one.state().begin_native(*mine, {}, "native");
        ++put;  // nobody else has a recorder open
        one.state().close_native(*mine);
      });
      INTERLEAVE_EXPECT(put == 1);
      one.commit();
      one.run_all();
      INTERLEAVE_EXPECT(one.device.streams().timeline(one.stream.slot).completed() == 1);
    },
    with_device());

// Two handlers are both of the buffer, as the two threads have the same one.
const Register two_handlers(
    "recorder.two_add_handlers", "H1 B2",
    [] {
      int told = 0;
      {
        OneStream one;
        one.device.streams().dispatcher().start();
        at_once([&](int me) {
          const sync::Ref<BufferState> current = one.state().current(one.generation(), "current");
          INTERLEAVE_EXPECT(current.get() == one.buffer.get());
          const HandlerKind kind = me == 0 ? HandlerKind::completed : HandlerKind::scheduled;
          one.state().add_handler(
              *current, kind, [&](const Completion&) { ++told; }, "add");
        });
        one.commit();
        one.run_all();
      }
      INTERLEAVE_EXPECT(told == 2);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
