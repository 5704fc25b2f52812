// What the tests of events have in common.
#pragma once

#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>

#include "support/test_device.h"
#include "support/watchdog.h"

namespace millrace::test {

inline Device small_device() {
  return create_test_device({.streams = 32, .workers = 4});
}

/// Three streams and an event of one device.
struct EventTest : testing::Test {
  const Watchdog watchdog{"a test of events"};
  Device device = small_device();
  StreamLease leases[3] = {device.lease(), device.lease(), device.lease()};
  Stream a = leases[0].stream(), b = leases[1].stream(), c = leases[2].stream();
  Event event = device.event();

  /// Commits a task to the stream that only marks that it ran.
  CommandBuffer mark(Stream stream, std::atomic<bool>& ran) {
    stream.run("mark", [&ran] { ran = true; });
    return stream.commit();
  }
};

}  // namespace millrace::test
