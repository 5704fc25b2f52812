// Streams that wait for work of others which is not submitted, by two threads at once.
#include "one_stream.h"

namespace millrace::verify {
namespace {

/// The default stream and four that are leased.
struct FiveStreams {
  FiveStreams() : device(by_hand({.streams = 5})), mine(device, 1) {
    for (StreamId& stream : leased) stream = device.streams().lease(mine.get(), "lease");
  }
  ~FiveStreams() {
    for (const StreamId stream : leased) device.streams().end_lease(nullptr, stream.slot);
  }
  FiveStreams(const FiveStreams&) = delete;
  FiveStreams& operator=(const FiveStreams&) = delete;

  void record(StreamId stream, HostTask run) { device.streams().record(stream, task(std::move(run)), "run"); }
  void commit(StreamId stream) { device.streams().commit(stream, "commit"); }
  void run_all() { device.backend().run_all(); }

  TinyDevice device;
  TinyContext mine;
  StreamId leased[4];
};

// Both announce a wait for work that is committed after.
const Register two_announce(
    "held.two_wait_for_work_to_come", "S9",
    [] {
      FiveStreams five;
      int order = 0;
      five.record(five.leased[0], [&] { INTERLEAVE_EXPECT(order++ == 0); });
      at_once([&](int me) {
        five.device.streams().wait_for(five.leased[1 + me], {five.leased[0].slot, 1}, "wait");
      });
      for (int i = 1; i <= 2; ++i) {
        five.record(five.leased[i], [&] { INTERLEAVE_EXPECT(order++ > 0); });
        five.commit(five.leased[i]);
      }
      five.commit(five.leased[0]);
      five.run_all();
      INTERLEAVE_EXPECT(order == 3);
    },
    with_device());

// Each submits what another stream waits for, and what waited with it.
const Register two_submit(
    "held.two_submit_what_others_wait_for", "S5 S7 S9",
    [] {
      FiveStreams five;
      int ran[2] = {};
      for (int i = 0; i < 2; ++i) {
        five.record(five.leased[i], [&ran, i] { ran[i] = 1; });
        five.device.streams().wait_for(five.leased[2 + i], {five.leased[i].slot, 1}, "wait");
        five.record(five.leased[2 + i], [&ran, i] { INTERLEAVE_EXPECT(ran[i] == 1); });
        five.commit(five.leased[2 + i]);
      }
      at_once([&](int me) { five.commit(five.leased[me]); });
      five.run_all();
      for (int i = 2; i < 4; ++i) {
        INTERLEAVE_EXPECT(five.device.streams().timeline(five.leased[i].slot).completed() == 1);
      }
    },
    with_device());

// The point is submitted: the waits of both are there at once, and so are those that memory inserts.
const Register two_wait(
    "held.two_wait_for_submitted_work", "S9",
    [] {
      FiveStreams five;
      int order = 0;
      five.record(five.leased[0], [&] { INTERLEAVE_EXPECT(order++ == 0); });
      five.commit(five.leased[0]);
      const TimelinePoint point{five.leased[0].slot, 1};
      at_once([&](int) {
        five.device.streams().wait_for(five.leased[1], point, "wait");
        INTERLEAVE_EXPECT(five.device.streams().try_insert_wait(five.leased[1].slot, point));
      });
      five.record(five.leased[1], [&] { INTERLEAVE_EXPECT(order++ == 1); });
      five.commit(five.leased[1]);
      five.run_all();
      INTERLEAVE_EXPECT(order == 2);
    },
    with_device());

// The leases of two streams end with work recorded in both: it is given up, and its values are reached.
const Register two_give_up(
    "held.two_give_up_what_they_recorded", "S7 S8",
    [] {
      TinyDevice device(by_hand({.streams = 5}));
      TinyContext mine(device, 1);
      bool ran = false;
      StreamId streams[2];
      for (StreamId& stream : streams) {
        stream = device.streams().lease(mine.get(), "lease");
        device.streams().record(stream, task([&] { ran = true; }), "run");
      }
      at_once([&](int me) { device.streams().end_lease(nullptr, streams[me].slot); });
      device.backend().run_all();
      INTERLEAVE_EXPECT(!ran);
      for (const StreamId stream : streams)
        INTERLEAVE_EXPECT(device.streams().timeline(stream.slot).completed() == 1);
      INTERLEAVE_EXPECT(device.streams().stats().abandoned_buffers == 2);
    },
    with_device());

// Handles that outlive their lease, in two threads: none of them leaves anything recorded.
const Register two_stale(
    "held.two_record_against_the_end_of_the_lease", "S8",
    [] {
      FiveStreams five;
      StreamPool& streams = five.device.streams();
      const StreamId held = five.leased[0];
      const sync::Ref<BufferState> old = streams.current_buffer(held, "current");
      streams.commit(held, "commit");
      StreamState& state = old->stream();
      bool ran = false;
      interleave::thread ends([&] { streams.end_lease(nullptr, held.slot); });
      at_once([&](int) {
        const std::string rule =
            rule_of([&] { state.record(held.generation, task([&] { ran = true; }), "run"); });
        INTERLEAVE_EXPECT(rule.empty() || rule == "stale-stream");
      });
      ends.join();
      five.leased[0] = streams.lease(five.mine.get(), "lease");
      streams.commit(five.leased[0], "commit");
      five.run_all();
      INTERLEAVE_EXPECT(!ran);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
