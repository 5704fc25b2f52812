// The host has no memory: each allocation of the library's own fails once, wherever it is.
#include <new>
#include <optional>

#include "device/thread_contexts.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

/// Does it all, but may be told that there is no memory; true if it was done.
template <typename F>
bool try_with_failures(F&& action) {
  try {
    const OneFails fails;
    action();
    return true;
  } catch (const std::bad_alloc&) {
  } catch (const Error& error) {
    INTERLEAVE_EXPECT(error.code() == ErrorCode::OutOfMemory);
  }
  return false;
}

Operation task(int& ran) {
  return {.work = TaskWork{[&ran] { ++ran; }}, .name = "task", .uses = {}, .place = {}};
}

const Register open(
    "no_memory.opening", "D1",
    [] {
      interleave::fail_allocations(1);
      try {
        const TinyDevice device;
        interleave::fail_allocations(0);
      } catch (const std::bad_alloc&) {
        interleave::fail_allocations(0);
      }
    },
    with_device());

const Register first_use(
    "no_memory.first_use", "D2 X3",
    [] {
      TinyDevice device(by_hand());
      try_with_failures([&] { const TinyContext context(device); });
      device.memory().check_accounting();
    },
    with_device());

const Register first_use_of_thread(
    "no_memory.first_use_of_a_thread", "D2 X3",
    [] {
      ThreadContexts::open();
      TinyDevice device(by_hand());
      thread user([&] { try_with_failures([&] { ThreadContexts::create(device.core()); }); });
      user.join();
      device.memory().check_accounting();
    },
    with_device());

// The arena's blocks come before the thread has a place for them.
const Register allocate_current(
    "no_memory.allocating_on_the_current_stream", "M1 T1",
    [] {
      TinyDevice device(by_hand());
      TinyContext mine(device);
      void* block = nullptr;
      try_with_failures(
          [&] { block = device.memory().allocate(mine.get(), Allocator::kCurrentSlot, kUnit, kUnit); });
      device.memory().check_accounting();
      if (block != nullptr) device.memory().deallocate(mine.get(), block, OnMisuse::raise);
    },
    with_device());

// Pinned memory that work still uses.
const Register free_pinned(
    "no_memory.freeing_pinned_memory_in_use", "A4 M1 M6 M7",
    [] {
      int ran = 0;
      TinyDevice device(by_hand());
      TinyContext mine(device);
      const StreamId stream = device.streams().default_stream();
      void* const block = device.pinned().allocate(mine.get(), stream.slot, kUnit, kUnit);
      device.streams().record(stream, task(ran), "run");
      device.streams().commit(stream, "commit");
      INTERLEAVE_EXPECT(
          try_with_failures([&] { device.pinned().deallocate(mine.get(), block, OnMisuse::forgive); }));
      device.pinned().check_accounting();
      INTERLEAVE_EXPECT(device.pinned().stats().live == 0);
      device.backend().run_next();
    },
    with_device());

// Whatever fails, what is free can be had afterwards, and nothing is lost.
const Register allocate(
    "no_memory.allocating", "M1 M2 T1",
    [] {
      TinyDevice device(by_hand());
      TinyContext mine(device);
      for (const std::size_t bytes : {kUnit, kGranule}) {
        void* block = nullptr;
        try_with_failures([&] { block = device.memory().allocate(mine.get(), 1, bytes, kUnit); });
        device.memory().check_accounting();
        if (block == nullptr) block = device.memory().allocate(mine.get(), 1, bytes, kUnit);
        device.memory().deallocate(mine.get(), block, OnMisuse::raise);
      }
      device.memory().trim();
      INTERLEAVE_EXPECT(device.backend().committed() == 0);
    },
    with_device());

// Beside somebody who has memory, a thread that may have none at any point.
const Register record_beside(
    "no_memory.recording_beside_another", "S7 H1",
    [] {
      int ran[2] = {};
      bool recorded = false;
      {
        TinyDevice device(by_hand());
        const StreamId first{1, 1}, second{2, 1};
        thread other([&] {
          recorded = try_with_failures([&] { device.streams().record(second, task(ran[1]), "run"); });
          if (!try_with_failures([&] { device.streams().commit(second, "commit"); }))
            device.streams().commit(second, "commit");
        });
        device.streams().record(first, task(ran[0]), "run");
        device.streams().commit(first, "commit");
        other.join();
        while (device.backend().run_next()) {
        }
      }
      INTERLEAVE_EXPECT(ran[0] == 1 && ran[1] == recorded);
    },
    with_device());

const Register free_used(
    "no_memory.freeing_what_is_used", "A1 M1 M6 M7",
    [] {
      int ran = 0;
      TinyDevice device(by_hand());
      TinyContext mine(device);
      void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      device.streams().record({2, 1}, task(ran), "run");
      try_with_failures([&] { device.memory().record_use(block, 2, false, "record_use"); });
      device.streams().commit({2, 1}, "commit");
      INTERLEAVE_EXPECT(
          try_with_failures([&] { device.memory().deallocate(mine.get(), block, OnMisuse::forgive); }));
      device.memory().check_accounting();
      INTERLEAVE_EXPECT(device.memory().stats().live == 0);
      device.backend().run_next();
    },
    with_device());

// What could not be recorded does not run; what could, does, once.
const Register record(
    "no_memory.recording", "S7 H1 B1",
    [] {
      int ran = 0, handled = 0, recorded = 0, added = 0;
      {
        TinyDevice device(by_hand());
        const StreamId stream = device.streams().default_stream();
        for (int i = 0; i < 2; ++i)
          recorded += try_with_failures([&] { device.streams().record(stream, task(ran), "run"); });
        added = try_with_failures([&] {
          device.streams().add_handler(
              stream, HandlerKind::completed, [&](const Completion&) { ++handled; }, "on_completed");
        });
        if (!try_with_failures([&] { device.streams().commit(stream, "commit"); }))
          device.streams().commit(stream, "commit");
        device.backend().run_all();
      }
      INTERLEAVE_EXPECT(ran == recorded);
      INTERLEAVE_EXPECT(handled == added);
    },
    with_device());

const Register events(
    "no_memory.events", "V4 V5 V2",
    [] {
      int ran = 0;
      TinyDevice device(by_hand());
      TinyContext mine(device);
      const StreamId stream = device.streams().default_stream();
      device.streams().record(stream, task(ran), "run");
      std::optional<EventPool::Lease> lease;
      try_with_failures([&] { lease = device.events().get(mine.get(), "event"); });
      if (!lease) lease = device.events().get(mine.get(), "event");
      EventSlot& slot = device.events().slot(lease->slot);
      if (!try_with_failures([&] { device.streams().set_mark(stream, slot, "record"); }))
        device.streams().set_mark(stream, slot, "record");
      device.streams().commit(stream, "commit");
      device.backend().run_all();
      INTERLEAVE_EXPECT(slot.stamp().reached && slot.stamp().records == 1);
      device.events().put(&mine.get(), *lease);
    },
    with_device());

// What the backend does not take fails, with its reason, and all that depends on it goes on.
const Register refused(
    "backend.refuses_what_is_submitted", "S5 Q2 H1",
    [] {
      int ran = 0, handled = 0;
      {
        TinyDevice device(by_hand());
        const StreamId stream = device.streams().default_stream();
        device.streams().record(stream, task(ran), "run");
        device.streams().add_handler(
            stream, HandlerKind::completed,
            [&](const Completion& completion) {
              INTERLEAVE_EXPECT(completion.status == BufferStatus::failed);
              ++handled;
            },
            "on_completed");
        device.backend().refuse(Status(ErrorCode::DeviceLost, "gone"));
        const sync::Ref<BufferState> buffer = device.streams().commit(stream, "commit");
        INTERLEAVE_EXPECT(buffer->status() == BufferStatus::failed);
        INTERLEAVE_EXPECT(device.streams().timeline(stream.slot).completed() == 1);
      }
      INTERLEAVE_EXPECT(ran == 0 && handled == 1);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
