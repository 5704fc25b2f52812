// The device itself: its number, its handles, the threads that come to it, and who asks for it by number.
#include "at_once.h"
#include "device/fork.h"
#include "device/thread_contexts.h"
#include "sync/thread.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

const Register two_numbers(
    "core.two_numbers", "",
    [] {
      std::uint64_t ids[2] = {};
      at_once([&](int me) {
        const auto core = sync::make_ref<Core>("tiny", DeviceOptions(),
                                               std::make_unique<TinyBackend>(1, TinyBackend::Runs::by_hand));
        ids[me] = core->id();
      });
      INTERLEAVE_EXPECT(ids[0] != ids[1]);
    },
    with_device());

// Handles that come and go beside each other leave the device open as long as there is one.
const Register two_handles(
    "core.two_handles", "D1 R1",
    [] {
      TinyDevice device;
      static_cast<void>(sync::Ref<Core>::share(&device.core()).release());  // the first handle's
      at_once([&](int) {
        INTERLEAVE_EXPECT(device.core().try_add_handle());
        device.core().add_handle();
        device.core().drop_handle();
        device.core().drop_handle();
      });
      INTERLEAVE_EXPECT(device.core().is_open());
      device.core().drop_handle();
      INTERLEAVE_EXPECT(!device.core().is_open());
    },
    with_device());

// A number is found by nobody whose device is not in the registry, also while one leaves it.
const Register two_find(
    "core.two_find", "D1",
    [] {
      TinyDevice device;
      interleave::thread closer([&] { device.close(); });
      at_once([&](int) { INTERLEAVE_EXPECT(!Registry::get().find(device.core().id())); });
      closer.join();
    },
    with_device());

// Two threads come to the device, use it and end.
const Register two_begin(
    "lifecycle.two_threads_begin", "D2 X3 T1 M1",
    [] {
      ThreadContexts::open();
      TinyDevice device;
      at_once([&](int) {
        INTERLEAVE_EXPECT(ThreadContexts::find(device.core().id()) == nullptr);
        Context& context = ThreadContexts::create(device.core());
        INTERLEAVE_EXPECT(&context == ThreadContexts::find(device.core().id()));
      });
    },
    with_device());

const Register two_watch("lifecycle.two_watch_for_fork", "", [] {
  at_once([](int) {
    watch_for_fork();
    INTERLEAVE_EXPECT(!forked());
  });
});

// What a thread of the library's did happened before its join, for each who has one.
const Register two_join("lifecycle.two_join", "", [] {
  at_once([](int) {
    int done = 0;
    sync::Thread mine([&] { done = 1; });
    mine.join();
    INTERLEAVE_EXPECT(done == 1);
  });
});

// Of two that close as the process ends, one does it, and the other leaves at once.
const Register two_exit(
    "close.two_close_at_exit", "D1",
    [] {
      TinyDevice device;
      at_once([&](int) { device.core().close(CloseMode::exit); });
      INTERLEAVE_EXPECT(!device.core().is_open());
    },
    with_device());

// Whoever closes waits for the thread that is ending.
const Register two_close_one_ends(
    "close.two_close_while_a_thread_ends", "D1 D2 X3",
    [] {
      TinyDevice device;
      TinyContext mine(device, 1);
      interleave::thread ends([&] { mine.end(); });
      at_once([&](int) { device.close(); });
      ends.join();
    },
    with_device());

// As two threads that open the first device: one at a time, and what the first has done is there for both.
const Register two_open("lifecycle.two_prepare", "", [] {
  sync::Mutex opening;
  at_once([&](int) {
    {
      const sync::LockGuard lock(opening);
      ThreadContexts::open();
      watch_for_fork();
    }
    ThreadContexts::set_current_device(1);
    INTERLEAVE_EXPECT(ThreadContexts::current_device() == 1);
  });
});

}  // namespace
}  // namespace millrace::verify
