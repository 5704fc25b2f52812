#include "sync/thread_slot.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace millrace::sync {
namespace {

struct HookTag;
struct SilentTag;
struct AgainTag;

std::atomic<int> hooked{0};

TEST(ThreadSlot, IsEachThreadsOwnAndHooksItsEnd) {
  using Slot = ThreadSlot<HookTag, int>;
  hooked = 0;
  Slot::open([](int* value) {
    hooked.fetch_add(*value);
    delete value;
  });
  EXPECT_EQ(Slot::get(), nullptr);
  std::thread with([] {
    Slot::set(new int(7));
    EXPECT_EQ(*Slot::get(), 7);
  });
  std::thread without([] { EXPECT_EQ(Slot::get(), nullptr); });
  with.join();
  without.join();
  EXPECT_EQ(hooked, 7);
  EXPECT_EQ(Slot::get(), nullptr);

  std::thread forgotten([] {
    static int value = 100;
    Slot::set(&value);
    Slot::forget();
    EXPECT_EQ(Slot::get(), nullptr);
  });
  forgotten.join();
  EXPECT_EQ(hooked, 7);
}

// The hook comes after the thread's C++ thread_local objects, which may use the slot until then.
struct UserObject {
  ~UserObject() {
    if (ThreadSlot<AgainTag, int>::get() != nullptr) seen_by_destructor.fetch_add(1);
  }
  static inline std::atomic<int> seen_by_destructor{0};
};

TEST(ThreadSlot, HookRunsAfterThreadLocalsAndAgainWhenSetAgain) {
  using Slot = ThreadSlot<AgainTag, int>;
  hooked = 0;
  Slot::open([](int* value) {
    EXPECT_EQ(Slot::get(), nullptr);
    if (hooked.fetch_add(1) == 0) Slot::set(value);
  });
  static int value = 1;
  std::thread thread([] {
    static thread_local UserObject object;
    static_cast<void>(&object);
    Slot::set(&value);
  });
  thread.join();
  EXPECT_EQ(UserObject::seen_by_destructor, 1);
  EXPECT_EQ(hooked, 2);
}

TEST(ThreadSlot, WithoutOpenThereIsNoHook) {
  using Slot = ThreadSlot<SilentTag, int>;
  static int value = 1;
  std::thread thread([] {
    Slot::set(&value);
    EXPECT_EQ(Slot::get(), &value);
  });
  thread.join();
  EXPECT_EQ(Slot::get(), nullptr);
}

}  // namespace
}  // namespace millrace::sync
