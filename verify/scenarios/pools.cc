// Private pools: whose memory is whose, when it goes back, and how a pool's state is restored beside other
// threads.
#include <vector>

#include "at_once.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;
using Pool = Allocator::Pool;

struct Pools {
  explicit Pools(TinyOptions options = {}, bool lends = false) : device(by_hand(std::move(options))) {
    for (Pool& pool : pools) pool = device.memory().create_pool({.use_on_oom = lends});
  }
  Allocator& memory() const noexcept { return device.memory(); }
  void* allocate(const Pool& pool, TinyContext& context, int slot, std::size_t bytes) {
    return memory().allocate_in(pool, context.get(), slot, bytes, kUnit);
  }
  /// Null where there is no memory.
  void* try_allocate(const Pool* pool, TinyContext& context, int slot, std::size_t bytes) {
    try {
      return pool != nullptr ? allocate(*pool, context, slot, bytes)
                             : memory().allocate(context.get(), slot, bytes, kUnit);
    } catch (const OutOfMemoryError&) {
      return nullptr;
    }
  }
  void free(TinyContext& context, void* block) { memory().deallocate(context.get(), block, OnMisuse::raise); }
  /// False where another thread had freed it.
  bool try_free(TinyContext& context, void* block) {
    try {
      free(context, block);
      return true;
    } catch (const Error&) {
      return false;
    }
  }
  std::uint64_t drop(const Pool& pool) { return memory().drop_pool_user(pool, "drop_user"); }
  bool has(const Pool& pool, const void* block) {
    for (const MemorySegment& segment : memory().pool_segments(pool)) {
      for (const MemoryBlock& each : segment.blocks) {
        if (each.address == block) return each.state == MemoryState::live;
      }
    }
    return false;
  }
  std::size_t committed() { return device.backend().committed(); }

  TinyDevice device;
  Pool pools[2];
};

// Each thread's blocks are in the pool that it names, also where another one is made beside it.
const Register two_pools(
    "pool.two_allocate", "N1 M1",
    [] {
      Pools tiny({.streams = 2});
      TinyContext contexts[] = {TinyContext(tiny.device, 1), TinyContext(tiny.device, 2)};
      void* blocks[2] = {};
      at_once([&](int me) { blocks[me] = tiny.allocate(tiny.pools[me], contexts[me], 1, kUnit); });
      for (const int me : {0, 1}) {
        INTERLEAVE_EXPECT(tiny.has(tiny.pools[me], blocks[me]) && !tiny.has(tiny.pools[me], blocks[1 - me]));
      }
      tiny.memory().check_accounting();
    },
    with_device());

const Register one_pool(
    "pool.two_allocate_from_one", "N1 M1",
    [] {
      Pools tiny({.granules = 1, .streams = 2});
      TinyContext contexts[] = {TinyContext(tiny.device, 1), TinyContext(tiny.device, 2)};
      void* blocks[2] = {};
      // There is memory for one arena alone.
      at_once([&](int me) { blocks[me] = tiny.allocate(tiny.pools[0], contexts[me], 1, kUnit); });
      INTERLEAVE_EXPECT(blocks[0] != blocks[1]);
      INTERLEAVE_EXPECT(tiny.has(tiny.pools[0], blocks[0]) && tiny.has(tiny.pools[0], blocks[1]));
      tiny.memory().check_accounting();
    },
    with_device());

const Register lends_to_nobody(
    "pool.lends_to_nobody_unasked", "N1",
    [] {
      Pools tiny({.granules = 1});
      TinyContext mine(tiny.device, 1);
      tiny.free(mine, tiny.allocate(tiny.pools[0], mine, 1, kGranule));
      INTERLEAVE_EXPECT(tiny.try_allocate(nullptr, mine, 1, kGranule) == nullptr);
      INTERLEAVE_EXPECT(tiny.try_allocate(&tiny.pools[1], mine, 1, kGranule) == nullptr);
      INTERLEAVE_EXPECT(tiny.try_allocate(&tiny.pools[0], mine, 1, kGranule) != nullptr);
    },
    with_device());

// What it lends is the pool's again after its free, whichever thread frees it.
const Register lends(
    "pool.lends_and_has_it_back", "N1 O1 M1 M2",
    [] {
      Pools tiny({.granules = 1}, true);
      TinyContext mine(tiny.device, 1), other(tiny.device, 2);
      tiny.free(mine, tiny.allocate(tiny.pools[0], mine, 1, kGranule));
      void* const lent = tiny.try_allocate(nullptr, mine, 2, kGranule);
      INTERLEAVE_EXPECT(lent != nullptr && tiny.has(tiny.pools[0], lent));
      thread freer([&] { tiny.free(other, lent); });
      const void* const meanwhile = tiny.try_allocate(&tiny.pools[1], mine, 1, kGranule);
      INTERLEAVE_EXPECT(meanwhile == nullptr);
      freer.join();
      INTERLEAVE_EXPECT(tiny.try_allocate(&tiny.pools[0], mine, 1, kGranule) == lent);
      tiny.memory().check_accounting();
    },
    with_device());

const Register kept(
    "pool.kept_while_it_has_users", "N2 M1",
    [] {
      Pools tiny({.streams = 2});
      TinyContext mine(tiny.device, 1);
      tiny.free(mine, tiny.allocate(tiny.pools[0], mine, 1, kGranule));
      tiny.memory().add_pool_user(tiny.pools[0], "add_user");
      thread trimmer([&] { INTERLEAVE_EXPECT(tiny.memory().trim() == 0); });
      INTERLEAVE_EXPECT(tiny.drop(tiny.pools[0]) == 1);
      trimmer.join();
      INTERLEAVE_EXPECT(tiny.committed() == kGranule);
    },
    with_device());

const Register two_drop(
    "pool.two_drop_the_last_users", "N2 M1",
    [] {
      Pools tiny({.streams = 2});
      TinyContext mine(tiny.device, 1);
      tiny.free(mine, tiny.allocate(tiny.pools[0], mine, 1, kGranule));
      tiny.memory().add_pool_user(tiny.pools[0], "add_user");
      at_once([&](int) { tiny.drop(tiny.pools[0]); });
      INTERLEAVE_EXPECT(tiny.committed() == 0 && tiny.pools[0].state->number() == 0);
    },
    with_device());

const Register dropped_beside_a_free(
    "pool.dropped_beside_a_free", "N2 M1",
    [] {
      Pools tiny({.streams = 2});
      TinyContext mine(tiny.device, 1);
      void* const block = tiny.allocate(tiny.pools[0], mine, 1, kGranule);
      thread freer([&] { tiny.free(mine, block); });
      tiny.drop(tiny.pools[0]);
      freer.join();
      tiny.memory().trim();
      INTERLEAVE_EXPECT(tiny.committed() == 0 && tiny.pools[0].state->number() == 0);
      // The same memory for the next one.
      INTERLEAVE_EXPECT(tiny.memory().create_pool({}).number != tiny.pools[0].number);
    },
    with_device());

const Register dropped_beside_a_trim(
    "pool.dropped_beside_a_trim", "N2 M1 M2",
    [] {
      Pools tiny({.streams = 2});
      TinyContext mine(tiny.device, 1);
      tiny.free(mine, tiny.allocate(tiny.pools[0], mine, 1, kGranule));
      thread trimmer([&] { tiny.memory().trim(); });
      tiny.drop(tiny.pools[0]);
      trimmer.join();
      INTERLEAVE_EXPECT(tiny.committed() == 0 && tiny.pools[0].state->number() == 0);
    },
    with_device());

// What was recorded before the last user went may use any of it.
const Register work_runs(
    "pool.dropped_while_work_runs", "N2",
    [] {
      Pools tiny;
      TinyContext mine(tiny.device, 1);
      StreamPool& streams = tiny.device.streams();
      tiny.free(mine, tiny.allocate(tiny.pools[0], mine, 1, kGranule));
      const StreamId launches = streams.lease(mine.get(), "lease");
      streams.record(launches, task(), "run");
      streams.commit(launches, "commit");
      thread runs([&] { tiny.device.backend().run_next(); });
      tiny.drop(tiny.pools[0]);
      if (tiny.committed() == 0) INTERLEAVE_EXPECT(streams.timeline(launches.slot).completed() != 0);
      runs.join();
      tiny.memory().trim();
      INTERLEAVE_EXPECT(tiny.committed() == 0);
      streams.end_lease(&mine.get(), launches.slot);
    },
    with_device());

/// A pool whose one block was there at a checkpoint, and an earlier checkpoint without it.
struct Checkpoints : Pools {
  explicit Checkpoints(TinyOptions options = {}) : Pools(std::move(options)) {
    empty = memory().checkpoint_pool(pools[0], "checkpoint");
    block = allocate(pools[0], mine, 1, kUnit);
    full = memory().checkpoint_pool(pools[0], "checkpoint");
  }
  /// Whether it was restored.
  bool restore(const PoolCheckpoint& checkpoint) {
    try {
      changed = memory().restore_pool(pools[0], mine.get(), checkpoint, "restore");
      return true;
    } catch (const Error& error) {
      INTERLEAVE_EXPECT(error.rule() == "pool-in-use");
      return false;
    }
  }

  TinyContext mine{device, 1};
  void* block = nullptr;
  PoolCheckpoint empty, full;
  PoolRestored changed;
};

const Register restored_beside_a_free(
    "pool.restored_beside_a_free", "N3 M1 M6",
    [] {
      Checkpoints tiny({.streams = 2});
      TinyContext other(tiny.device, 2);
      bool freed = false;
      thread freer([&] { freed = tiny.try_free(other, tiny.block); });
      const bool restored = tiny.restore(tiny.empty);
      freer.join();
      // One of them, and whoever it was says so.
      INTERLEAVE_EXPECT(freed == tiny.changed.freed.empty());
      INTERLEAVE_EXPECT(restored || freed);
      INTERLEAVE_EXPECT(!tiny.has(tiny.pools[0], tiny.block));
      tiny.memory().check_accounting();
    },
    with_device());

const Register restored_beside_an_allocation(
    "pool.restored_beside_an_allocation", "N3 M1",
    [] {
      Checkpoints tiny({.streams = 2});
      TinyContext other(tiny.device, 2);
      tiny.free(tiny.mine, tiny.block);
      void* theirs = nullptr;
      thread allocates([&] { theirs = tiny.allocate(tiny.pools[0], other, 1, 2 * kUnit); });
      const bool restored = tiny.restore(tiny.full);
      allocates.join();
      if (restored) {
        INTERLEAVE_EXPECT(tiny.has(tiny.pools[0], tiny.block) && tiny.changed.allocated.size() == 1);
        const bool taken = !tiny.changed.freed.empty();
        INTERLEAVE_EXPECT(taken ? tiny.changed.freed.front() == theirs : theirs != tiny.block);
      } else {
        INTERLEAVE_EXPECT(tiny.has(tiny.pools[0], theirs) && theirs == tiny.block);
      }
      tiny.memory().check_accounting();
    },
    with_device());

// It is free at the checkpoint, and used: so either the use has ended, or nothing has changed.
const Register restored_while_used(
    "pool.restored_while_it_is_used", "N3 A1",
    [] {
      Checkpoints tiny;
      StreamPool& streams = tiny.device.streams();
      const StreamId used_on = streams.default_stream();
      streams.record(used_on, task(), "run");
      tiny.memory().record_use(tiny.block, used_on.slot, false, "record_use");
      streams.commit(used_on, "commit");
      thread runs([&] { tiny.device.backend().run_next(); });
      const bool restored = tiny.restore(tiny.empty);
      if (restored) INTERLEAVE_EXPECT(streams.timeline(used_on.slot).completed() != 0);
      INTERLEAVE_EXPECT(tiny.has(tiny.pools[0], tiny.block) != restored);
      runs.join();
      INTERLEAVE_EXPECT(restored || tiny.restore(tiny.empty));
    },
    with_device());

// One stream's blocks can't be restored: those of the other one stay as they are, also for who frees them
// meanwhile.
const Register restored_in_part(
    "pool.restored_in_no_part", "N3 M6",
    [] {
      Checkpoints tiny({.streams = 3});
      TinyContext other(tiny.device, 2);
      StreamPool& streams = tiny.device.streams();
      void* const of_two = tiny.allocate(tiny.pools[0], tiny.mine, 2, kUnit);
      streams.record(streams.default_stream(), task(), "run");
      tiny.memory().record_use(of_two, 0, false, "record_use");
      thread lists([&] { INTERLEAVE_EXPECT(tiny.memory().pool_segments(tiny.pools[0]).size() == 2); });
      INTERLEAVE_EXPECT(!tiny.restore(tiny.empty));
      lists.join();
      INTERLEAVE_EXPECT(tiny.has(tiny.pools[0], tiny.block) && tiny.has(tiny.pools[0], of_two));
      tiny.free(other, tiny.block);
      tiny.memory().check_accounting();
      streams.commit(streams.default_stream(), "commit");
      tiny.device.backend().run_next();
    },
    with_device());

/// Keeps what it is told in plain memory, since it is told by one thread at a time.
class Told final : public MemoryObserver {
 public:
  void on_segment(const SegmentChange& change) noexcept override {
    committed += change.kind == SegmentChange::Kind::gained ? change.bytes : -change.bytes;
    // A range that is lost was gained, and one that is gained was not there.
    INTERLEAVE_EXPECT(committed <= 2 * kGranule);
    ++changes;
  }
  void on_out_of_memory(const OutOfMemoryReport&) noexcept override {}
  std::size_t committed = 0;
  int changes = 0;
};

const Register two_are_told(
    "observer.two_cause_changes", "N4",
    [] {
      TinyDevice device(by_hand({.granules = 2}));
      TinyContext contexts[] = {TinyContext(device, 1), TinyContext(device, 2)};
      const auto told = std::make_shared<Told>();
      device.memory().add_observer(told);
      at_once([&](int me) { device.memory().allocate(contexts[me].get(), 1 + me, kGranule, kUnit); });
      INTERLEAVE_EXPECT(told->changes == 2 && told->committed == device.backend().committed());
    },
    with_device());

const Register lost_and_gained(
    "observer.growth_beside_a_trim", "N4 M2",
    [] {
      TinyDevice device(by_hand({.granules = 1}));
      TinyContext mine(device, 1);
      const auto told = std::make_shared<Told>();
      device.memory().add_observer(told);
      device.memory().deallocate(mine.get(), device.memory().allocate(mine.get(), 1, kGranule, kUnit),
                                 OnMisuse::raise);
      thread trims([&] { device.memory().trim(); });
      device.memory().allocate(mine.get(), 1, kGranule, kUnit);
      trims.join();
      INTERLEAVE_EXPECT(told->committed == kGranule && (told->changes == 1 || told->changes == 3));
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
