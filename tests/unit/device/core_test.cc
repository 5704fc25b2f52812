#include "device/core.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "device/registry.h"
#include "device/thread_contexts.h"
#include "support/expect_error.h"
#include "support/fake_device.h"
#include "support/watchdog.h"

namespace millrace {
namespace {

using test::FakeDevice;

TEST(Core, IsFoundByIdWhileItIsOpen) {
  FakeDevice device;
  const std::uint64_t id = device.core().id();
  EXPECT_EQ(Registry::get().find(id).get(), &device.core());
  EXPECT_FALSE(Registry::get().find(id + 1000000));
  device.close();
  EXPECT_FALSE(Registry::get().find(id));
  EXPECT_FALSE(device.core().is_open());
}

TEST(Core, RefusesEntryOnceClosed) {
  FakeDevice device;
  EXPECT_TRUE(device.core().enter("test"));
  device.close();
  test::expect_code(ErrorCode::Closed, [&] { static_cast<void>(device.core().enter("test")); });
  EXPECT_FALSE(device.core().try_add_handle());
}

TEST(Core, ManyClosersAllReturnWhenItIsClosed) {
  const test::Watchdog watchdog("many closers");
  for (int round = 0; round < 50; ++round) {
    FakeDevice device;
    device.run_freely(1);
    std::vector<std::thread> closers;
    for (int t = 0; t < 4; ++t) {
      closers.emplace_back([&] {
        device.core().close(CloseMode::drain);
        EXPECT_FALSE(device.core().is_open());
      });
    }
    for (auto& closer : closers) closer.join();
  }
}

TEST(Core, AThreadFindsItsContextAndAnotherItsOwn) {
  FakeDevice device;
  const std::uint64_t id = device.core().id();
  EXPECT_EQ(ThreadContexts::find(id), nullptr);
  Context& mine = ThreadContexts::create(device.core());
  EXPECT_EQ(ThreadContexts::find(id), &mine);
  std::thread([&] {
    EXPECT_EQ(ThreadContexts::find(id), nullptr);
    EXPECT_NE(&ThreadContexts::create(device.core()), &mine);
  }).join();
  device.close();
  EXPECT_TRUE(mine.retired());
  // Using another device drops what the closed one left on this thread.
  FakeDevice other;
  static_cast<void>(other.stream());
  EXPECT_EQ(ThreadContexts::find(id), nullptr);
}

}  // namespace
}  // namespace millrace
