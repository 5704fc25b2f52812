// Threads that end, devices that close and processes that fork, in any order.
#include "device/fork.h"
#include "device/thread_contexts.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

/// A thread's first use of the device, as the interface does it; false where it is closed.
bool use(TinyDevice& device) {
  try {
    Context* context = ThreadContexts::find(device.core().id());
    if (context == nullptr) context = &ThreadContexts::create(device.core());
    Allocator& memory = device.memory();
    memory.deallocate(*context, memory.allocate(*context, 1, kUnit, kUnit), OnMisuse::raise);
    return true;
  } catch (const Error& error) {
    INTERLEAVE_EXPECT(error.code() == ErrorCode::Closed);
    return false;
  }
}

const Register use_and_exit(
    "lifecycle.use_and_exit_against_close", "D1 D2 X3 T1 M1",
    [] {
      ThreadContexts::open();
      TinyDevice device;
      thread user([&] { use(device); });
      device.close();
      INTERLEAVE_EXPECT(device.backend().committed() == 0);
      user.join();
    },
    with_device());

const Register two_threads_end(
    "lifecycle.two_threads_end", "D2 X3 T1 M1",
    [] {
      TinyDevice device;
      TinyContext first(device, 1), second(device, 2);
      for (TinyContext* context : {&first, &second}) {
        device.memory().deallocate(context->get(), device.memory().allocate(context->get(), 1, kUnit, kUnit),
                                   OnMisuse::raise);
      }
      thread one([&] { first.end(); });
      second.end();
      one.join();
      device.memory().check_accounting();
      INTERLEAVE_EXPECT(device.memory().stats().allocations == 2 && device.memory().stats().live == 0);
    },
    with_device());

// The other thread may be anywhere, with any lock held. The child is told, and waits for nothing.
const Register fork(
    "lifecycle.fork_beside_an_allocation", "X1 D1",
    [] {
      ThreadContexts::open();
      watch_for_fork();
      TinyDevice device;
      thread user([&] { use(device); });
      if (interleave::fork() == 0) {
        INTERLEAVE_EXPECT(ThreadContexts::find(device.core().id()) == nullptr);
        try {
          ThreadContexts::create(device.core());
          INTERLEAVE_EXPECT(false);
        } catch (const Error& error) {
          INTERLEAVE_EXPECT(error.code() == ErrorCode::ForkedProcess);
        }
        INTERLEAVE_EXPECT(!device.core().is_open());
        device.streams().end_lease(nullptr, 1);
        user.detach();  // it is not here
        return;         // closes the device, which does nothing
      }
      user.join();
    },
    without_leaks(with_device()));

const Register fork_beside_close(
    "lifecycle.fork_beside_a_close", "D1",
    [] {
      ThreadContexts::open();
      watch_for_fork();
      TinyDevice device;
      thread closer([&] { device.close(); });
      if (interleave::fork() == 0) {
        closer.detach();
        return;
      }
      closer.join();
    },
    without_leaks(with_device()));

}  // namespace
}  // namespace millrace::verify
