// What two threads do with pools at the same time: with one, or each with its own.
#include <vector>

#include "at_once.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using OnMisuse = Allocator::OnMisuse;
using Pool = Allocator::Pool;

struct TwoPools {
  explicit TwoPools(TinyOptions options = {.streams = 2}) : device(by_hand(std::move(options))) {
    for (Pool& pool : pools) pool = memory().create_pool({});
  }
  Allocator& memory() const noexcept { return device.memory(); }
  void* allocate(int me, int slot, std::size_t bytes) {
    return memory().allocate_in(pools[me], contexts[me].get(), slot, bytes, kUnit);
  }
  void free(int me, void* block) { memory().deallocate(contexts[me].get(), block, OnMisuse::raise); }

  TinyDevice device;
  TinyContext contexts[2] = {TinyContext(device, 1), TinyContext(device, 2)};
  Pool pools[2];
};

const Register two_create(
    "pool.two_create", "N1",
    [] {
      TinyDevice device(by_hand({.streams = 1}));
      Pool pools[2];
      at_once([&](int me) { pools[me] = device.memory().create_pool({}); });
      INTERLEAVE_EXPECT(pools[0].number != pools[1].number && pools[0].state != pools[1].state);
      for (const Pool& pool : pools) INTERLEAVE_EXPECT(pool.state->number() == pool.number);
    },
    with_device());

const Register two_users("pool.two_users_come_and_go", "N2", [] {
  millrace::detail::PoolState pool(1, false);
  pool.begin(1, false);
  at_once([&](int) {
    INTERLEAVE_EXPECT(pool.add_user());
    INTERLEAVE_EXPECT(pool.drop_user() >= 2);
  });
  INTERLEAVE_EXPECT(pool.users() == 1 && pool.drop_user() == 1);
  INTERLEAVE_EXPECT(!pool.add_user() && pool.drop_user() == 0);
});

const Register two_wishes("pool.two_say_whether_it_lends", "N1", [] {
  millrace::detail::PoolState pool(1, false);
  pool.begin(1, false);
  at_once([&](int) {
    // Who sees the other one's wish knows that it lends.
    if (pool.lends()) INTERLEAVE_EXPECT(pool.ever_lent());
    pool.set_lends(true);
    pool.set_lends(false);
  });
  INTERLEAVE_EXPECT(pool.ever_lent());
});

const Register two_drop(
    "pool.two_drop_their_own", "N2 M1",
    [] {
      TwoPools tiny;
      for (const int me : {0, 1}) tiny.free(me, tiny.allocate(me, 1, kGranule));
      at_once([&](int me) { tiny.memory().drop_pool_user(tiny.pools[me], "drop_user"); });
      INTERLEAVE_EXPECT(tiny.device.backend().committed() == 0);
      for (const Pool& pool : tiny.pools) INTERLEAVE_EXPECT(pool.state->number() == 0);
    },
    with_device());

const Register two_restore(
    "pool.two_restore_their_own", "N3 M1",
    [] {
      TwoPools tiny;
      PoolCheckpoint empty[2];
      void* blocks[2] = {};
      for (const int me : {0, 1}) {
        empty[me] = tiny.memory().checkpoint_pool(tiny.pools[me], "checkpoint");
        blocks[me] = tiny.allocate(me, 1, kUnit);
      }
      at_once([&](int me) {
        const PoolRestored changed =
            tiny.memory().restore_pool(tiny.pools[me], tiny.contexts[me].get(), empty[me], "restore");
        INTERLEAVE_EXPECT(changed.freed == std::vector<void*>{blocks[me]});
      });
      tiny.memory().check_accounting();
    },
    with_device());

// Each pool has a block that could be freed, and one that work uses.
const Register two_refused(
    "pool.two_are_refused", "N3",
    [] {
      TwoPools tiny({.granules = 4, .streams = 3});
      StreamPool& streams = tiny.device.streams();
      streams.record(streams.default_stream(), task(), "run");
      PoolCheckpoint empty[2];
      for (const int me : {0, 1}) {
        empty[me] = tiny.memory().checkpoint_pool(tiny.pools[me], "checkpoint");
        tiny.allocate(me, 1, kUnit);
        tiny.memory().record_use(tiny.allocate(me, 2, kUnit), 0, false, "record_use");
      }
      at_once([&](int me) {
        bool refused = false;
        try {
          tiny.memory().restore_pool(tiny.pools[me], tiny.contexts[me].get(), empty[me], "restore");
        } catch (const Error& error) {
          refused = error.rule() == "pool-in-use";
        }
        INTERLEAVE_EXPECT(refused);
      });
      INTERLEAVE_EXPECT(tiny.memory().stats().live == 4 * kUnit);
      streams.commit(streams.default_stream(), "commit");
      tiny.device.backend().run_next();
    },
    with_device());

const Register two_large(
    "pool.two_free_large_blocks", "M1 M4",
    [] {
      TwoPools tiny;
      void* const blocks[] = {tiny.allocate(0, 1, kGranule), tiny.allocate(1, 1, kGranule)};
      at_once([&](int me) { tiny.free(me, blocks[me]); });
      const MemoryStatistics figures = tiny.memory().statistics();
      INTERLEAVE_EXPECT(figures.allocations.large.freed == 2 && figures.allocations.all.current == 0);
      INTERLEAVE_EXPECT(figures.allocated_bytes.large.peak == 2 * kGranule);
    },
    with_device());

const Register two_note(
    "statistics.two_say_what_was_asked_for", "M1",
    [] {
      TwoPools tiny;
      void* const blocks[] = {tiny.allocate(0, 1, kUnit), tiny.allocate(1, 1, kUnit)};
      at_once([&](int me) {
        tiny.memory().note_requested(tiny.contexts[me].get(), blocks[me], 1, "note_requested");
      });
      const MemoryFigure asked = tiny.memory().statistics().requested_bytes.all;
      INTERLEAVE_EXPECT(asked.current == 2 && asked.allocated == 2 && asked.freed == 0);
    },
    with_device());

const Register two_ask(
    "statistics.two_ask", "M1 M4",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device, 1);
      device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      at_once([&](int) {
        const MemoryStatistics figures = device.memory().statistics();
        INTERLEAVE_EXPECT(figures.allocations.small.current == 1 && figures.active_bytes.all.peak == kUnit);
        INTERLEAVE_EXPECT(figures.segments.all.current == 1 && figures.segment_bytes.small.peak == kGranule);
      });
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
