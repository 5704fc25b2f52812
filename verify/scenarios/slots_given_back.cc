// What a thread keeps of events, and what graphs keep of memory, until it is somebody else's.
#include "memory/graph_memory.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

// There are two events. What a thread has kept of them is there for others when it has ended.
const Register exits(
    "event.kept_by_who_exits", "V4 X3",
    [] {
      TinyDevice device;
      TinyContext mine(device, 1), other(device, 2);
      device.events().put(&other.get(), device.events().get(other.get(), "event"));
      thread owner([&] { other.end(); });
      owner.join();
      const EventPool::Lease first = device.events().get(mine.get(), "event");
      const EventPool::Lease second = device.events().get(mine.get(), "event");
      INTERLEAVE_EXPECT(first.slot != second.slot);
      device.events().put(&mine.get(), first);
      device.events().put(&mine.get(), second);
    },
    with_device());

// A thread that ends gives its events back beside one that takes some.
const Register exit_against_take(
    "event.exit_against_take", "V4 X3",
    [] {
      TinyDevice device;
      TinyContext mine(device, 1), other(device, 2);
      device.events().put(&other.get(), device.events().get(other.get(), "event"));
      thread owner([&] { other.end(); });
      try {
        device.events().put(&mine.get(), device.events().get(mine.get(), "event"));
      } catch (const Error& error) {
        INTERLEAVE_EXPECT(error.code() == ErrorCode::PoolExhausted);  // they were with who ends
      }
      owner.join();
      const EventPool::Lease first = device.events().get(mine.get(), "event");
      INTERLEAVE_EXPECT(device.events().get(mine.get(), "event").slot != first.slot);
    },
    with_device());

// By threads that have no context.
const Register by_two(
    "event.given_back_by_two", "V4",
    [] {
      TinyDevice device;
      TinyContext mine(device);
      const EventPool::Lease first = device.events().get(mine.get(), "event");
      const EventPool::Lease second = device.events().get(mine.get(), "event");
      thread other([&] { device.events().put(nullptr, second); });
      device.events().put(nullptr, first);
      other.join();
      const EventPool::Lease again = device.events().get(mine.get(), "event");
      INTERLEAVE_EXPECT(device.events().get(mine.get(), "event").slot != again.slot);
    },
    with_device());

struct OneGraph {
  OneGraph() : device(by_hand({.granules = 1, .captures = 1})), mine(device) {
    StreamPool& streams = device.streams();
    const int slot = streams.acquire_capture("capture");
    device.memory().reserve_capture(slot);
    const StreamId captured = streams.begin_capture(slot, "capture");
    device.memory().begin_capture(slot);
    void* const block = device.memory().allocate(mine.get(), slot, kGranule, kUnit);
    device.memory().deallocate(mine.get(), block, OnMisuse::raise);
    INTERLEAVE_EXPECT(streams.end_capture(captured, "capture").failed.ok());
    memory = &device.memory().end_capture(slot, {});
    streams.free_capture(slot);
  }
  void launch(StreamId stream, HostTask run) {
    device.streams().record(
        stream, {.work = TaskWork{std::move(run)}, .name = "launch", .uses = {}, .place = {}}, "launch");
    device.memory().add_launch(*memory, stream.slot);
    device.streams().commit(stream, "commit");
  }

  TinyDevice device;
  TinyContext mine;
  GraphMemory* memory = nullptr;
};

// Whatever is given back beside it, a graph that can still be launched keeps its memory.
const Register held(
    "capture.memory_of_a_graph_that_is_held", "A3",
    [] {
      OneGraph graph;
      thread trims([&] { graph.device.memory().trim(); });
      trims.join();
      INTERLEAVE_EXPECT(graph.device.backend().committed() == kGranule);
      graph.device.memory().drop_graph(*graph.memory, {});
      INTERLEAVE_EXPECT(graph.device.backend().committed() == 0);
    },
    with_device());

const Register two_launches(
    "capture.two_launches", "A3",
    [] {
      OneGraph graph;
      const StreamId stream = graph.device.streams().lease(graph.mine.get(), "lease");
      int done = 0;
      thread other([&] { graph.launch(stream, [&] { ++done; }); });
      graph.launch(graph.device.streams().default_stream(), [&] { ++done; });
      other.join();
      graph.device.memory().drop_graph(*graph.memory, {});
      INTERLEAVE_EXPECT(graph.device.backend().committed() == kGranule);
      graph.device.backend().run_all();
      INTERLEAVE_EXPECT(done == 2);
      graph.device.memory().trim();
      INTERLEAVE_EXPECT(graph.device.backend().committed() == 0);
      graph.device.streams().end_lease(nullptr, stream.slot);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
