// What threads keep of free blocks, beside other threads, flushes and the close of the device.
#include <new>

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

const Register free_against_close("cache.free_against_close", "X1 X2 X3 D1 T1 M1", [] {
  TinyDevice device;
  TinyContext mine(device);
  void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
  thread owner([&] { device.memory().deallocate(mine.get(), block, OnMisuse::raise); });
  device.close();
  INTERLEAVE_EXPECT(device.backend().committed() == 0);
  owner.join();
}, with_device());

const Register allocate_against_close("cache.allocate_against_close", "X1 X2 X3 D1 T1", [] {
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
}, with_device());

const Register exit_against_close("cache.thread_exit_against_close", "X3 D1 D2 T1", [] {
  TinyDevice device;
  TinyContext mine(device);
  device.memory().deallocate(mine.get(), device.memory().allocate(mine.get(), 1, kUnit, kUnit),
                             OnMisuse::raise);
  thread owner([&] { mine.end(); });
  device.close();
  INTERLEAVE_EXPECT(device.backend().committed() == 0);
  owner.join();
}, with_device());

const Register flush_against_owner("cache.flush_against_owner", "X1 X2 X4 T1 T2 M1", [] {
  TinyDevice device;
  TinyContext mine(device);
  void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
  thread owner([&] { device.memory().deallocate(mine.get(), block, OnMisuse::raise); });
  device.memory().trim();
  owner.join();
  device.memory().check_accounting();
  device.memory().trim();
  INTERLEAVE_EXPECT(device.backend().committed() == 0);
}, with_device());

}  // namespace
}  // namespace millrace::verify
