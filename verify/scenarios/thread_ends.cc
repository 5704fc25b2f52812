// Threads that come and go: what they leave to the device, and what the device leaves to them.
#include <optional>

#include "device/fork.h"
#include "device/thread_contexts.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

/// The calling thread's context, made anew; false where the device is closed.
bool begin(TinyDevice& device) {
  try {
    ThreadContexts::create(device.core());
    return true;
  } catch (const Error& error) {
    INTERLEAVE_EXPECT(error.code() == ErrorCode::Closed);
    return false;
  }
}

void use(TinyDevice& device, Context& context) {
  Allocator& memory = device.memory();
  memory.deallocate(context, memory.allocate(context, 1, kUnit, kUnit), OnMisuse::raise);
}

const Register two_begin(
    "lifecycle.two_threads_attach", "D2 X3",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      std::optional<TinyContext> first, second;
      thread other([&] { second.emplace(device, 2); });
      first.emplace(device, 1);
      other.join();
      device.core().with_contexts(
          [](std::span<Context* const> contexts) { INTERLEAVE_EXPECT(contexts.size() == 2); });
    },
    with_device());

// What a thread had is there for others when it has ended: its memory, its stream and its context's own.
const Register left(
    "lifecycle.memory_of_who_exits", "D2 T1 X3 M1",
    [] {
      ThreadContexts::open();
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device);
      int slot = 0;
      thread user([&] {
        INTERLEAVE_EXPECT(begin(device));
        Context& context = *ThreadContexts::find(device.core().id());
        slot = StreamPool::current(context, "current").slot;
        use(device, context);
        INTERLEAVE_EXPECT(begin(device));  // beside the one that it has
      });
      user.join();
      device.core().with_contexts(
          [](std::span<Context* const> contexts) { INTERLEAVE_EXPECT(contexts.size() == 1); });
      device.memory().check_accounting();
      INTERLEAVE_EXPECT(device.memory().stats().cached == 0);
      const StreamId taken = device.streams().lease(mine.get(), "lease");
      INTERLEAVE_EXPECT(taken.slot == slot);
      device.streams().end_lease(nullptr, taken.slot);
    },
    with_device());

// A thread that comes again makes room first: for a context that the closing device has retired, or is about
// to.
const Register again(
    "lifecycle.used_again_against_close", "D1 D2 X3",
    [] {
      ThreadContexts::open();
      TinyDevice device(by_hand({.streams = 2}));
      thread user([&] {
        if (begin(device)) begin(device);
      });
      device.close();
      user.join();
    },
    with_device());

// The device closes with a thread's lease and cache: what it had counts, and is nobody's any more.
const Register figures(
    "lifecycle.figures_after_close", "D2 X3 T1",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device);
      const StreamId stream = StreamPool::current(mine.get(), "current");
      INTERLEAVE_EXPECT(stream.slot == 1);
      use(device, mine.get());
      thread closer([&] { device.close(); });
      closer.join();
      INTERLEAVE_EXPECT(device.memory().stats().allocations == 1 && device.memory().stats().frees == 1);
      INTERLEAVE_EXPECT(device.streams().stats().leases == 1 && device.streams().stats().leased == 0);
    },
    with_device());

// A cache that is flushed for others is its thread's, or the ending thread's, as long as it is there.
const Register trim(
    "lifecycle.trim_against_exit", "X1 X3 D2 T1",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device);
      use(device, mine.get());
      thread owner([&] { mine.end(); });
      device.memory().trim();
      owner.join();
      device.memory().trim();
      INTERLEAVE_EXPECT(device.backend().committed() == 0);
    },
    with_device());

// A call that throws has let go of its thread's context: the closing device gets it.
const Register thrown(
    "lifecycle.closed_after_a_throw", "X1 D1",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device);
      Allocator& memory = device.memory();
      void* const block = memory.allocate(mine.get(), 1, kUnit, kUnit);
      memory.deallocate(mine.get(), block, OnMisuse::raise);
      try {
        memory.deallocate(mine.get(), block, OnMisuse::raise);
        INTERLEAVE_EXPECT(false);
      } catch (const Error& error) {
        INTERLEAVE_EXPECT(error.rule() == "double-free");
      }
      thread closer([&] { device.close(); });
      closer.join();
      INTERLEAVE_EXPECT(mine.get().retired());
    },
    with_device());

const Register fork_of_a_user(
    "lifecycle.fork_of_a_user", "X1 D1",
    [] {
      ThreadContexts::open();
      watch_for_fork();
      TinyDevice device(by_hand({.streams = 2}));
      INTERLEAVE_EXPECT(begin(device));
      const bool is_child = interleave::fork() == 0;
      INTERLEAVE_EXPECT((ThreadContexts::find(device.core().id()) == nullptr) == is_child);
    },
    without_leaks(with_device()));

// A handle of the child's is dropped beside the parent's that is closing.
const Register fork_with_a_handle(
    "lifecycle.fork_with_a_handle", "D1 R1",
    [] {
      watch_for_fork();
      TinyDevice device(by_hand({.streams = 2}));
      device.core().add_handle();
      thread closer([&] { device.close(); });
      if (interleave::fork() == 0) {
        closer.detach();
        device.core().drop_handle();
        device.core().drop_handle();
        device.core().drop_handle();
        INTERLEAVE_EXPECT(!device.core().is_open());
        return;
      }
      closer.join();
      device.core().drop_handle();
    },
    without_leaks(with_device()));

// Another thread may have the table of slots locked: the child's lease ends without it.
const Register fork_beside_a_lease(
    "lifecycle.fork_beside_a_lease", "D1 S6",
    [] {
      watch_for_fork();
      TinyDevice device(by_hand());
      StreamId first, second;
      {
        TinyContext mine(device);
        first = device.streams().lease(mine.get(), "lease");
        second = device.streams().lease(mine.get(), "lease");
      }
      thread leaver([&] { device.streams().end_lease(nullptr, first.slot); });
      if (interleave::fork() == 0) {
        leaver.detach();
        device.streams().end_lease(nullptr, second.slot);
        return;
      }
      leaver.join();
      device.streams().end_lease(nullptr, second.slot);
    },
    without_leaks(with_device()));

}  // namespace
}  // namespace millrace::verify
