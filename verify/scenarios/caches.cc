// What threads keep of free blocks, beside other threads, flushes and the close of the device.
#include <new>

#include "at_once.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

/// One block of a unit of the stream's, or null where the device is closed.
void* try_allocate(TinyDevice& device, TinyContext& context, int slot, std::size_t units = 1) {
  try {
    return device.memory().allocate(context.get(), slot, units * kUnit, kUnit);
  } catch (const Error& error) {
    INTERLEAVE_EXPECT(error.code() == ErrorCode::Closed);
    return nullptr;
  }
}

const Register free_against_close(
    "cache.free_against_close", "X1 X2 X3 D1 T1 M1",
    [] {
      TinyDevice device;
      TinyContext mine(device);
      void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      thread owner([&] { device.memory().deallocate(mine.get(), block, OnMisuse::raise); });
      device.close();
      INTERLEAVE_EXPECT(device.backend().committed() == 0);
      owner.join();
    },
    with_device());

const Register allocate_against_close(
    "cache.allocate_against_close", "X1 X2 X3 D1 T1",
    [] {
      TinyDevice device;
      TinyContext mine(device);
      // So that the magazine has some.
      device.memory().deallocate(mine.get(), device.memory().allocate(mine.get(), 1, kUnit, kUnit),
                                 OnMisuse::raise);
      thread owner([&] {
        if (void* const block = try_allocate(device, mine, 1))
          device.memory().deallocate(mine.get(), block, OnMisuse::raise);
      });
      device.close();
      INTERLEAVE_EXPECT(device.backend().committed() == 0);
      owner.join();
    },
    with_device());

const Register exit_against_close(
    "cache.thread_exit_against_close", "X3 D1 D2 T1",
    [] {
      TinyDevice device;
      TinyContext mine(device);
      device.memory().deallocate(mine.get(), device.memory().allocate(mine.get(), 1, kUnit, kUnit),
                                 OnMisuse::raise);
      thread owner([&] { mine.end(); });
      device.close();
      INTERLEAVE_EXPECT(device.backend().committed() == 0);
      owner.join();
    },
    with_device());

const Register flush_against_owner(
    "cache.flush_against_owner", "X1 X2 X4 T1 T2 M1",
    [] {
      TinyDevice device;
      TinyContext mine(device);
      void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      thread owner([&] { device.memory().deallocate(mine.get(), block, OnMisuse::raise); });
      device.memory().trim();
      owner.join();
      device.memory().check_accounting();
      device.memory().trim();
      INTERLEAVE_EXPECT(device.backend().committed() == 0);
    },
    with_device());

const Register remote_free(
    "cache.remote_free_against_refill", "A2 L1 L2 T2 M1",
    [] {
      TinyDevice device;
      TinyContext mine(device, 1), other(device, 2);
      void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      thread freer([&] { device.memory().deallocate(other.get(), block, OnMisuse::raise); });
      void* const next = device.memory().allocate(mine.get(), 1, 2 * kUnit, kUnit);
      freer.join();
      INTERLEAVE_EXPECT(next != block);
      device.memory().deallocate(mine.get(), next, OnMisuse::raise);
      device.memory().check_accounting();
      INTERLEAVE_EXPECT(device.memory().stats().live == 0);
    },
    with_device());

const Register overflow(
    "cache.overflow_against_trim", "X1 X2 T1 T2 M1",
    [] {
      TinyDevice device;
      TinyContext mine(device);
      void* blocks[3];
      for (void*& block : blocks) block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      // The magazine holds two.
      for (int i = 0; i < 2; ++i) device.memory().deallocate(mine.get(), blocks[i], OnMisuse::raise);
      thread owner([&] { device.memory().deallocate(mine.get(), blocks[2], OnMisuse::raise); });
      device.memory().trim();
      owner.join();
      device.memory().check_accounting();
      device.memory().trim();
      INTERLEAVE_EXPECT(device.backend().committed() == 0);
    },
    with_device());

const Register double_free(
    "cache.two_free_one_block", "M6 T2 M1",
    [] {
      TinyDevice device;
      TinyContext mine(device, 1), other(device, 2);
      void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      const auto is_refused = [&](TinyContext& context) {
        try {
          device.memory().deallocate(context.get(), block, OnMisuse::raise);
          return false;
        } catch (const Error& error) {
          INTERLEAVE_EXPECT(error.rule() == "double-free");
          return true;
        }
      };
      bool other_refused = false;
      thread freer([&] { other_refused = is_refused(other); });
      const bool mine_refused = is_refused(mine);
      freer.join();
      INTERLEAVE_EXPECT(mine_refused != other_refused);
      device.memory().check_accounting();
      INTERLEAVE_EXPECT(device.memory().stats().live == 0);
    },
    with_device());

const Register sums(
    "accounting.sums_beside_changes", "M1 M4 D2",
    [] {
      TinyDevice device;
      TinyContext mine(device);
      device.memory().deallocate(mine.get(), device.memory().allocate(mine.get(), 1, kUnit, kUnit),
                                 OnMisuse::raise);
      thread owner([&] {
        void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
        device.memory().deallocate(mine.get(), block, OnMisuse::raise);
        mine.end();
      });
      const MemoryStats stats = device.memory().stats();
      INTERLEAVE_EXPECT(stats.frees <= stats.allocations);
      INTERLEAVE_EXPECT(stats.live <= kUnit);
      INTERLEAVE_EXPECT(stats.allocations == 1 || stats.allocations == 2);
      owner.join();
      device.memory().check_accounting();
      INTERLEAVE_EXPECT(device.memory().stats().allocations == 2 && device.memory().stats().live == 0);
    },
    with_device());

const Register two_reset(
    "accounting.two_reset_peaks", "M1 D2",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device);
      void* const block = device.memory().allocate(mine.get(), 0, kUnit, kUnit);
      at_once([&](int) { device.memory().reset_peaks(); });
      INTERLEAVE_EXPECT(device.memory().stats().peak_live == kUnit);
      device.memory().deallocate(mine.get(), block, OnMisuse::raise);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
