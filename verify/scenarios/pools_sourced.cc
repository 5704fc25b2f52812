// Private pools whose segments somebody else provides: how long that is kept.
#include <memory>

#include "at_once.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;
using Pool = Allocator::Pool;

/// Addresses only. It goes when it has nothing out any more, and with no lock of ours held.
class TinySegments final : public SegmentSource {
 public:
  struct Counts {
    sync::atomic<int> segments{0};
    sync::atomic<int> destroyed{0};
  };

  TinySegments(Allocator& memory, Counts& counts, std::uintptr_t base)
      : memory_(memory), counts_(counts), next_(base) {}
  ~TinySegments() override {
    INTERLEAVE_EXPECT(counts_.segments.load(std::memory_order_relaxed) == 0);
    counts_.destroyed.fetch_add(1, std::memory_order_relaxed);
    static_cast<void>(memory_.create_pool({}));
  }
  void* allocate(std::size_t bytes) override {
    counts_.segments.fetch_add(1, std::memory_order_relaxed);
    return reinterpret_cast<void*>(next_.fetch_add(bytes, std::memory_order_relaxed));
  }
  void free(void*, std::size_t) noexcept override {
    counts_.segments.fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  Allocator& memory_;
  Counts& counts_;
  sync::atomic<std::uintptr_t> next_;
};

struct Sourced {
  explicit Sourced(std::size_t granules = 1, std::uintptr_t shift = 0)
      : base((std::uintptr_t{1} << 18) + shift),
        device(by_hand({.granules = granules, .streams = 3})),
        pool(make()) {}
  Allocator& memory() const noexcept { return device.memory(); }
  Pool make() {
    base += 16 * kGranule;
    return memory().create_pool({.source = std::make_shared<TinySegments>(memory(), counts, base)});
  }
  void* allocate(const Pool& from, TinyContext& context, int slot = 1) {
    return memory().allocate_in(from, context.get(), slot, kGranule, kUnit);
  }
  void free(TinyContext& context, void* block) { memory().deallocate(context.get(), block, OnMisuse::raise); }
  void expect_segments(int expected) const {
    INTERLEAVE_EXPECT(counts.segments.load(std::memory_order_relaxed) == expected);
  }
  void expect_destroyed(int expected) const {
    INTERLEAVE_EXPECT(counts.destroyed.load(std::memory_order_relaxed) == expected);
  }
  void drop(const Pool& dropped) { memory().drop_pool_user(dropped, "drop_user"); }

  TinySegments::Counts counts;
  std::uintptr_t base;
  TinyDevice device;
  Pool pool;
};

const Register dropped_beside_a_free(
    "pool.source_dropped_beside_a_free", "N5 N2 M1",
    [] {
      Sourced tiny;
      TinyContext mine(tiny.device, 1);
      void* const block = tiny.allocate(tiny.pool, mine);
      thread freer([&] { tiny.free(mine, block); });
      tiny.drop(tiny.pool);
      freer.join();
      tiny.memory().trim();
      tiny.expect_segments(0);
      tiny.expect_destroyed(1);
    },
    with_device());

// The next pool is another one's, also while the last one's source is on its way out.
const Register the_next(
    "pool.source_of_the_next_beside_a_drop", "N5 N2",
    [] {
      Sourced tiny;
      TinyContext mine(tiny.device, 1);
      tiny.free(mine, tiny.allocate(tiny.pool, mine));
      thread dropper([&] { tiny.drop(tiny.pool); });
      const Pool next = tiny.make();
      dropper.join();
      tiny.expect_destroyed(1);
      tiny.free(mine, tiny.allocate(next, mine));
      tiny.expect_segments(1);
      tiny.drop(next);
      tiny.expect_destroyed(2);
    },
    with_device());

// Segments count towards the limit, whoever has them, and two threads take one each.
const Register two_allocate(
    "pool.source_counts_towards_the_limit", "N5 M1 M2",
    [] {
      Sourced tiny;
      TinyContext contexts[] = {TinyContext(tiny.device, 1), TinyContext(tiny.device, 2)};
      void* blocks[2] = {};
      at_once([&](int me) {
        try {
          blocks[me] = tiny.allocate(tiny.pool, contexts[me]);
        } catch (const OutOfMemoryError&) {
          blocks[me] = nullptr;
        }
      });
      INTERLEAVE_EXPECT((blocks[0] == nullptr) != (blocks[1] == nullptr));
      tiny.expect_segments(1);
      tiny.memory().check_accounting();
      tiny.free(contexts[0], blocks[0] != nullptr ? blocks[0] : blocks[1]);
      tiny.drop(tiny.pool);
      tiny.expect_destroyed(1);
    },
    with_device());

// Of a source whose segments begin anywhere, two streams' arenas take one each.
const Register misaligned(
    "pool.source_of_segments_at_any_address", "N5 M1",
    [] {
      Sourced tiny(2, kUnit);
      TinyContext contexts[] = {TinyContext(tiny.device, 1), TinyContext(tiny.device, 2)};
      void* blocks[2] = {};
      at_once([&](int me) { blocks[me] = tiny.allocate(tiny.pool, contexts[me], me + 1); });
      for (void* const block : blocks) {
        INTERLEAVE_EXPECT(reinterpret_cast<std::uintptr_t>(block) % kGranule == 0);
      }
      tiny.expect_segments(2);
      tiny.memory().check_accounting();
      for (const int me : {0, 1}) tiny.free(contexts[me], blocks[me]);
      tiny.drop(tiny.pool);
      tiny.expect_segments(0);
      tiny.expect_destroyed(1);
    },
    with_device());

// Who is out of memory has it go back, and destroys it once the procedure's lock is free again.
const Register given_back_for_another(
    "pool.source_given_back_for_another", "N5 O1 M2",
    [] {
      Sourced tiny;
      TinyContext mine(tiny.device, 1), other(tiny.device, 2);
      void* const block = tiny.allocate(tiny.pool, mine);
      tiny.drop(tiny.pool);
      thread freer([&] { tiny.free(mine, block); });
      void* got = nullptr;
      try {
        got = tiny.memory().allocate(other.get(), 1, kGranule, kUnit);
      } catch (const OutOfMemoryError&) {
        got = nullptr;
      }
      freer.join();
      tiny.memory().trim();
      tiny.expect_segments(0);
      tiny.expect_destroyed(1);
      if (got != nullptr) tiny.free(other, got);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
