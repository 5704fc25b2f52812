// cuda::mr::any_resource over a driver that plays the device: with CCCL from 3.1 on, which has it.
#include <millrace/cuda/resource.h>

#include <cstdio>
#include <utility>

#include <millrace/millrace.h>

#include "support/fake_cuda.h"

namespace {

using Any = ::cuda::mr::any_resource<::cuda::mr::device_accessible>;
using Ref = ::cuda::mr::resource_ref<::cuda::mr::device_accessible>;

int failures = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  ++failures;
  std::printf("not so: %s\n", what);
}

}  // namespace

int main() {
  millrace::test::install_fake_cuda();
  millrace::Device device = millrace::Device::create("cuda:0");
  const cudaStream_t stream = millrace::test::make_fake_stream();
  {
    const millrace::cuda::resource resource(device);
    Any any = resource;
    Any copy = any;
    expect(any == copy && copy == Any(millrace::cuda::resource(device)), "resources of one device are equal");
    expect(any != Any(millrace::cuda::resource(millrace::Device::create("cuda:0"))), "those of two are not");
    void* const block = any.allocate(stream, 1000, 256);
    expect(device.memory().live >= 1000, "the device says what is live");
    copy.deallocate(stream, block, 1000, 256);
    const Any moved = std::move(copy);
    Any again = moved;
    again.deallocate_sync(again.allocate_sync(64, 64), 64, 64);
    Ref ref = again;
    ref.deallocate(stream, ref.allocate(stream, 64, 64), 64, 64);
    expect(try_get_property(again, ::cuda::mr::device_accessible{}), "the property is there");
  }
  expect(device.memory().live == 0, "all is free again");
  expect(device.memory().allocations == 3, "all came from the device");
  expect(device.streams().wrapped == 0, "streams are let go of with the last copy");
  millrace::test::destroy_fake_stream(stream);
  std::printf("CCCL %d: %d failures\n", CCCL_VERSION, failures);
  return failures == 0 ? 0 : 1;
}
