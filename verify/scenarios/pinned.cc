// Memory whose next user is ordered by nothing but the end of the work: the host's, and that of graphs.
#include "memory/graph_memory.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

TinyOptions one_granule() {
  return by_hand({.granules = 1, .streams = 2});
}

// What the host gets, no work uses any more.
const Register pinned(
    "pinned.free_against_work", "A4",
    [] {
      TinyDevice device(one_granule());
      TinyContext mine(device);
      const StreamId stream = device.streams().default_stream();
      void* const block = device.pinned().allocate(mine.get(), stream.slot, kGranule, kUnit);
      bool done = false;
      device.streams().record(stream, task([&] { done = true; }), "run");
      device.streams().commit(stream, "commit");
      device.pinned().deallocate(mine.get(), block, OnMisuse::raise);
      thread runs([&] { INTERLEAVE_EXPECT(device.backend().run_next()); });
      device.pinned().allocate(mine.get(), stream.slot, kGranule, kUnit);
      INTERLEAVE_EXPECT(done);
      runs.join();
    },
    with_device());

// The memory of a graph is anybody's when the graph was dropped and its last launch is done.
const Register graph(
    "capture.memory_of_a_graph", "A3",
    [] {
      TinyOptions options = one_granule();
      options.captures = 1;
      TinyDevice device(options);
      TinyContext mine(device);
      const StreamId stream = device.streams().default_stream();
      const int slot = device.streams().acquire_capture("capture");
      device.memory().reserve_capture(slot);
      const StreamId captured = device.streams().begin_capture(slot, "capture");
      device.memory().begin_capture(slot);
      void* const block = device.memory().allocate(mine.get(), slot, kGranule, kUnit);
      device.memory().deallocate(mine.get(), block, OnMisuse::raise);
      INTERLEAVE_EXPECT(device.streams().end_capture(captured, "capture").failed.ok());
      GraphMemory& memory = device.memory().end_capture(slot, {});
      device.streams().free_capture(slot);
      bool done = false;
      device.streams().record(stream, task([&] { done = true; }), "launch");
      device.memory().add_launch(memory, stream.slot);
      device.streams().commit(stream, "commit");
      thread runs([&] { INTERLEAVE_EXPECT(device.backend().run_next()); });
      device.memory().drop_graph(memory, {});
      device.memory().allocate(mine.get(), stream.slot, kGranule, kUnit);
      INTERLEAVE_EXPECT(done);
      runs.join();
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
