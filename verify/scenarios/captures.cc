// Two captures at once: their streams, their memory, and what becomes of the graphs.
#include "at_once.h"
#include "memory/graph_memory.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

struct TwoCaptures {
  explicit TwoCaptures(int captures = 2, TinyBackend::Runs runs = TinyBackend::Runs::by_hand)
      : device(options(captures, runs)) {}
  static TinyOptions options(int captures, TinyBackend::Runs runs) {
    TinyOptions options;
    options.streams = 1;
    options.captures = captures;
    options.runs = runs;
    return options;
  }
  StreamId begin() {
    const int slot = device.streams().acquire_capture("capture");
    device.memory().reserve_capture(slot);
    const StreamId captured = device.streams().begin_capture(slot, "capture");
    device.memory().begin_capture(slot);
    return captured;
  }
  GraphMemory& end(StreamId captured) {
    device.streams().abort_capture(captured);
    GraphMemory& memory =
        device.memory().end_capture(captured.slot, device.streams().branches_of(captured.slot));
    device.streams().free_capture(captured.slot);
    return memory;
  }

  TinyDevice device;
};

// Each gets a slot, and memory of its own.
const Register two_begin(
    "capture.two_begin", "A3 S6",
    [] {
      TwoCaptures two;
      StreamId captured[2];
      at_once([&](int me) { captured[me] = two.begin(); });
      INTERLEAVE_EXPECT(captured[0].slot != captured[1].slot);
      INTERLEAVE_EXPECT(!two.device.streams().in_one_capture(captured[0].slot, captured[1].slot));
      for (const StreamId each : captured) two.device.memory().drop_graph(two.end(each), {});
    },
    with_device());

// They end, are launched and dropped: nothing of them is left but what was launched.
const Register two_end(
    "capture.two_end", "A3 S6",
    [] {
      TwoCaptures two;
      const StreamId captured[] = {two.begin(), two.begin()};
      at_once([&](int me) {
        GraphMemory& memory = two.end(captured[me]);
        two.device.memory().add_launch(memory, 0);
        two.device.memory().drop_graph(memory, {});
      });
      const StreamId again[] = {two.begin(), two.begin()};
      INTERLEAVE_EXPECT(again[0].slot != again[1].slot);
      for (const StreamId each : again) two.device.memory().drop_graph(two.end(each), {});
    },
    with_device());

// A branch is of its capture alone, and its slot is anybody's after.
const Register two_branch(
    "capture.two_branch", "S6",
    [] {
      TwoCaptures two(4);
      StreamPool& streams = two.device.streams();
      int slots[4] = {};
      for (int& slot : slots) slot = streams.acquire_capture("capture");
      StreamId origin[2], branch[2];
      for (int i = 0; i < 2; ++i) {
        origin[i] = streams.begin_capture(slots[i], "capture");
        branch[i] = streams.begin_branch(origin[i], slots[2 + i], "branch");
      }
      at_once([&](int me) {
        INTERLEAVE_EXPECT(streams.in_one_capture(origin[me].slot, branch[me].slot));
        INTERLEAVE_EXPECT(!streams.in_one_capture(origin[me].slot, branch[1 - me].slot));
        streams.abort_capture(origin[me]);
        streams.free_capture(origin[me].slot);
      });
      for (int& slot : slots) slot = streams.acquire_capture("capture");
      INTERLEAVE_EXPECT(slots[0] != slots[1]);
    },
    with_device());

// Waits inside of a capture are what two threads may add, and an end gives up.
const Register two_wait(
    "capture.two_wait_inside", "S7 S9",
    [] {
      TwoCaptures two(1, TinyBackend::Runs::on_its_thread);
      StreamPool& streams = two.device.streams();
      const StreamId captured = streams.begin_capture(streams.acquire_capture("capture"), "capture");
      at_once([&](int) { streams.wait_for(captured, {captured.slot, 1}, "wait"); });
      streams.abort_capture(captured);
      INTERLEAVE_EXPECT(streams.timeline(captured.slot).completed() == 1);
      streams.free_capture(captured.slot);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
