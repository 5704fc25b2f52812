// Large reductions spread over a device's workers: the same bits however many there are and whatever else
// they do, and no worker lost or waited for in vain.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <millrace/millrace.h>

#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kBytes = std::size_t{4} << 20;

struct Shape {
  Dims shape;
  std::vector<std::int64_t> dims;
};

/// Of kBytes of two-byte elements: one for each way in which the work is cut.
std::vector<Shape> shapes() {
  constexpr std::int64_t n = kBytes / 2;
  return {
      {{n}, {}},                         // pieces of one run
      {{n / 64, 64}, {1}},               // tiles of short runs
      {{n / 64, 64}, {0}},               // pieces of folded rows
      {{64, n / 64}, {0}},               // tiles of rows
      {{n / 4096, 16, 16, 16}, {0, 2}},  // pieces of rows, a run of columns inside
      {{16, n / 4096, 16, 16}, {1, 3}},  // rows of runs
  };
}

constexpr ReduceOp kOps[] = {ReduceOp::sum, ReduceOp::max, ReduceOp::argmax, ReduceOp::var, ReduceOp::norm};

/// The bytes of all results, each operation over each shape, and statistics too.
std::vector<std::byte> results(Device& device, const Buffer& input) {
  Stream stream = device.stream();
  std::vector<std::byte> all;
  const auto append = [&](const Buffer& output, std::size_t bytes) {
    const std::size_t at = all.size();
    all.resize(at + bytes);
    stream.copy(all.data() + at, output.data(), bytes);
    stream.wait();
  };
  for (const Shape& shape : shapes()) {
    const TensorView view = contiguous(input.data(), DType::bf16, shape.shape);
    const Dims result = result_shape(shape.shape, shape.dims, false);
    const auto count = static_cast<std::size_t>(element_count(result));
    for (const ReduceOp op : kOps) {
      const DType dtype = result_dtype(op, DType::bf16);
      const Buffer output = device.buffer(count * size_of(dtype));
      reduce(stream, op, view, contiguous(output.data(), dtype, result), shape.dims);
      append(output, count * size_of(dtype));
    }
    const Buffer output = device.buffer(count * sizeof(Statistics));
    statistics(stream, view, output.as<Statistics>(), shape.dims);
    append(output, count * sizeof(Statistics));
  }
  return all;
}

std::vector<std::byte> random_input() {
  std::vector<std::byte> bytes(kBytes);
  Random random(7);
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    // bf16 from -2 to 2, no NaN.
    const auto bits = static_cast<std::uint16_t>(0x3c00 | random.below(0x400) | random.below(2) << 15);
    std::memcpy(bytes.data() + i, &bits, 2);
  }
  return bytes;
}

std::vector<std::byte> results_with(int workers, const std::vector<std::byte>& input) {
  Device device = create_test_device({.workers = workers});
  const Buffer buffer = device.buffer(input.size());
  write_to(device.stream(), buffer.data(), input);
  return results(device, buffer);
}

TEST(ReduceWorkers, TheSameBitsForAnyNumber) {
  MILLRACE_HOST_BACKEND_ONLY("elsewhere workers run host tasks, not reductions");
  const std::vector<std::byte> input = random_input();
  const std::vector<std::byte> one = results_with(1, input);
  for (const int workers : {2, 4, 8}) EXPECT_TRUE(results_with(workers, input) == one) << workers;
}

TEST(ReduceWorkers, TheSameBitsUnderLoad) {
  const std::vector<std::byte> input = random_input();
  const std::vector<std::byte> alone = results_with(1, input);
  Device device = create_test_device({.workers = 4});
  const Buffer buffer = device.buffer(input.size());
  write_to(device.stream(), buffer.data(), input);
  // Some reduce what the others do, some keep the workers busy with short tasks of their own.
  std::atomic<int> reducing = 3;
  on_threads(6, [&](int number) {
    if (number < 3) {
      EXPECT_TRUE(results(device, buffer) == alone) << number;
      --reducing;
      return;
    }
    Stream stream = device.stream();
    while (reducing > 0) {
      stream.run("load", [] { std::this_thread::yield(); });
      stream.commit().wait();
    }
  });
}

/// A task that keeps one worker of the device until it is released.
class BusyWorker {
 public:
  explicit BusyWorker(Device& device) : lease_(device.lease()) {
    lease_.stream().run("keeps the worker", [this] {
      while (!released_) std::this_thread::yield();
    });
    lease_.stream().commit();
  }
  void release() { released_ = true; }

 private:
  std::atomic<bool> released_ = false;
  StreamLease lease_;
};

TEST(ReduceWorkers, AWaitWithALimitDoesNotRunTheWork) {
  MILLRACE_HOST_BACKEND_ONLY("elsewhere a worker that is kept busy holds up no reduction");
  Device device = create_test_device({.workers = 1});
  const Buffer buffer = device.buffer(std::size_t{64} << 20);
  const Buffer output = device.buffer(sizeof(float));
  BusyWorker busy(device);
  Stream stream = device.stream();
  for (int i = 0; i < 20; ++i) {
    reduce(stream, ReduceOp::sum, contiguous(buffer.data(), DType::f32, {16 << 20}),
           contiguous(output.data(), DType::f32, {}));
  }
  CommandBuffer work = stream.commit();
  try {
    work.wait(std::chrono::milliseconds(1));
    ADD_FAILURE() << "the work was done";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::TimedOut);
  }
  EXPECT_FALSE(is_final(work.status()));
  busy.release();
  work.wait();
}

TEST(ReduceWorkers, WhoWaitsRunsTheWorkWhenNoWorkerCan) {
  Device device = create_test_device({.workers = 1});
  const Buffer buffer = device.buffer(4096);
  BusyWorker busy(device);
  Stream stream = device.stream();
  stream.fill(buffer.data(), 7, 4096);
  stream.wait();  // or never returns
  EXPECT_EQ(read_one(stream, buffer.as<std::uint8_t>() + 4095), 7);
  busy.release();
}

// What a task that never ran holds may lock what the waiting thread has locked: it is not destroyed there.
TEST(ReduceWorkers, WhatWasGivenUpIsNotDestroyedOnWhoWaits) {
  Device device = create_test_device({.workers = 1});
  const Buffer buffer = device.buffer(4096);
  Stream stream = device.stream();
  std::atomic<std::thread::id> destroyer{};
  const std::thread::id waiter = std::this_thread::get_id();
  for (std::size_t round = 0; round < scaled(200, 10); ++round) {
    stream.fill(buffer.data(), 1, 4096);
    stream.commit();
    std::shared_ptr<int> held(new int, [&](const int* object) {
      delete object;
      destroyer = std::this_thread::get_id();
    });
    stream.run("given up", [held = std::move(held)] {});
    stream.command_buffer().abandon();
    stream.fill(buffer.data(), 2, 4096);
    stream.wait();
    device.synchronize();
    EXPECT_NE(destroyer.load(), waiter);
  }
}

TEST(ReduceWorkers, ClosingInTheMiddleLosesNobody) {
  for (std::size_t round = 0; round < scaled(40, 10); ++round) {
    Device device = create_test_device({.workers = 4});
    const Buffer buffer = device.buffer(kBytes);
    const Buffer output = device.buffer(8 * sizeof(std::int64_t));
    {
      const StreamLease lease = device.lease();
      lease.stream().fill(buffer.data(), 1, kBytes);
      lease.stream().wait();
    }
    std::vector<CommandBuffer> committed;
    for (int i = 0; i < 4; ++i) {
      StreamLease lease = device.lease();
      reduce(lease.stream(), ReduceOp::argmax, contiguous(buffer.data(), DType::bf16, {kBytes / 2}),
             contiguous(output.as<std::int64_t>() + i, DType::i64, {}));
      committed.push_back(lease.stream().commit());
    }
    device.close();
    for (const CommandBuffer& each : committed) EXPECT_TRUE(is_final(each.status()));
  }
}

}  // namespace
}  // namespace millrace::test
