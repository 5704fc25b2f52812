// The host has no memory, and what was begun goes on: frees, submissions, what handlers are told, and blocks
// on their way to a cache.
#include <exception>

#include "backends/host/queue.h"
#include "device/thread_contexts.h"
#include "tiny_device.h"
#include "tiny_queues.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

// The descriptors run out when there are some blocks already.
const Register refill(
    "no_memory.in_the_middle_of_a_refill", "M1",
    [] {
      TinyMemory memory(1);
      Geometry geometry = memory.geometry;
      geometry.descriptors = 4;
      Arena arena(0, ArenaUse::stream, geometry, memory.heaps, memory.map, memory.streams);
      INTERLEAVE_EXPECT(arena.grow(TinyMemory::small(4)).ok());
      BlockList blocks;
      try {
        const OneFails fails;
        arena.refill(TinyMemory::small(1), 8, blocks);
      } catch (const std::bad_alloc&) {
        INTERLEAVE_EXPECT(blocks.empty());
      }
      arena.give(blocks);
      INTERLEAVE_EXPECT(arena.release_empty() == kGranule);
    },
    with_device());

// A thread that has nothing of the device's, and gets nothing.
const Register first_free(
    "no_memory.first_call_is_a_free", "M1 M7 D2",
    [] {
      ThreadContexts::open();
      TinyDevice device(by_hand());
      TinyContext mine(device);
      void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      thread other([&] {
        const OneFails fails;
        Allocator::deallocate_first(device.core(), block, OnMisuse::raise);
      });
      other.join();
      INTERLEAVE_EXPECT(device.memory().stats().live == 0);
      device.memory().check_accounting();
    },
    with_device());

// And one that still has something of a device which has closed meanwhile.
const Register free_after_another(
    "no_memory.first_call_after_another_device", "M7 D2 X3",
    [] {
      ThreadContexts::open();
      TinyDevice device(by_hand());
      TinyContext mine(device);
      void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      TinyDevice another(by_hand());
      interleave::atomic<bool> used{false}, closed{false};
      const auto is_set = [](bool now) { return now; };
      thread other([&] {
        ThreadContexts::create(another.core());
        used.store(true, std::memory_order_release);
        interleave::await(closed, is_set, std::memory_order_acquire);
        const OneFails fails;
        Allocator::deallocate_first(device.core(), block, OnMisuse::raise);
      });
      interleave::await(used, is_set, std::memory_order_acquire);
      another.close();
      closed.store(true, std::memory_order_release);
      other.join();
      INTERLEAVE_EXPECT(device.memory().stats().live == 0);
    },
    with_device());

// Sums beside it: its free is not counted before the allocation is.
const Register summed(
    "no_memory.free_without_a_context_beside_sums", "M4 M7",
    [] {
      TinyDevice device(by_hand());
      TinyContext owners(device);
      interleave::atomic<void*> handed{nullptr};
      thread owner([&] {
        handed.store(device.memory().allocate(owners.get(), 1, kUnit, kUnit), std::memory_order_release);
      });
      thread other([&] {
        void* const block = handed.load(std::memory_order_acquire);
        if (block == nullptr) return;
        device.memory().deallocate_without_context(block, OnMisuse::raise);
        handed.store(nullptr, std::memory_order_relaxed);
      });
      INTERLEAVE_EXPECT(device.memory().stats().live <= kUnit);
      owner.join();
      other.join();
      const bool freed = handed.load(std::memory_order_relaxed) == nullptr;
      INTERLEAVE_EXPECT(device.memory().stats().live == (freed ? 0 : kUnit));
      device.memory().check_accounting();
    },
    with_device());

// Two of them, and two frees of one block: one is refused.
const Register freed_twice(
    "no_memory.freed_twice_without_a_context", "M6 M7",
    [] {
      TinyDevice device(by_hand());
      TinyContext mine(device);
      void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      int refused = 0;
      const auto free = [&](int& misuses) {
        try {
          device.memory().deallocate_without_context(block, OnMisuse::raise);
        } catch (const Error& error) {
          INTERLEAVE_EXPECT(error.rule() == "double-free");
          ++misuses;
        }
      };
      int others = 0;
      thread other([&] { free(others); });
      free(refused);
      other.join();
      INTERLEAVE_EXPECT(refused + others == 1);
      INTERLEAVE_EXPECT(device.memory().stats().live == 0 && device.memory().stats().frees == 1);
      device.memory().check_accounting();
    },
    with_device());

// Closed under it: it finds the device open or closed.
const Register against_close(
    "no_memory.free_without_a_context_against_close", "D1 M7",
    [] {
      TinyDevice device(by_hand());
      TinyContext mine(device);
      void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      thread other([&] { device.memory().deallocate_without_context(block, OnMisuse::raise); });
      device.close();
      other.join();
      INTERLEAVE_EXPECT(device.backend().committed() == 0);
    },
    with_device());

// The handler before, on the same thread, sees to it that there is no memory to describe the failure anew.
const Register told(
    "no_memory.told_of_a_failure", "H1 S4",
    [] {
      bool told = false;
      {
        TinyDevice device(by_hand());
        const StreamId stream = device.streams().default_stream();
        device.streams().record(
            stream, {.work = TaskWork{[] { throw 1; }}, .name = "task", .uses = {}, .place = {}}, "run");
        device.streams().add_handler(
            stream, HandlerKind::scheduled, [](const Completion&) { interleave::fail_allocations(1); },
            "test");
        device.streams().add_handler(
            stream, HandlerKind::completed,
            [&](const Completion& completion) {
              interleave::fail_allocations(0);
              try {
                std::rethrow_exception(completion.error);
              } catch (const Error& error) {
                told = error.code() == ErrorCode::WorkFailed && !error.message().empty();
              }
            },
            "test");
        static_cast<void>(device.streams().commit(stream, "commit"));
        device.backend().run_next();
      }
      INTERLEAVE_EXPECT(told);
    },
    with_device());

const Register host_takes_it(
    "host_queue.no_memory_to_submit", "S15 Q2",
    [] {
      TinySink sink;
      const auto queues = sync::make_ref<host::Queues>(2, 1, sink, "host", std::nullopt);
      INTERLEAVE_EXPECT(queues->start().ok());
      Submission first = sink.expect(with_holder<host::Queues>(submission(0, 1)));
      Submission second = sink.expect(with_holder<host::Queues>(submission(1, 1, {{0, 1}})));
      {
        const OneFails fails;
        INTERLEAVE_EXPECT(queues->submit(std::move(first), {}).ok());
        INTERLEAVE_EXPECT(queues->submit(std::move(second), {}).ok());
      }
      sink.wait({1, 1});
      INTERLEAVE_EXPECT(queues->stop());
    },
    with_clock());

}  // namespace
}  // namespace millrace::verify
