// Files through a device: read in place or copied, by any number of workers, the same bits.
#include "stats_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <thread>

#include "format_support.h"
#include "interrupt.h"
#include "random.h"

namespace millrace::tool {
namespace {

std::string floats(Random& random, std::size_t count) {
  std::string data(count * sizeof(float), '\0');
  for (std::size_t i = 0; i < count; ++i) {
    const float value = random.one_in(1000) ? std::numeric_limits<float>::quiet_NaN()
                                            : static_cast<float>(random.below(2001)) / 7 - 143;
    std::memcpy(data.data() + i * sizeof(float), &value, sizeof(float));
  }
  return data;
}

/// Three tensors of f32: a row of pieces, rows shorter than a piece, a few elements. Padding moves them off
/// their alignment.
TensorFile make_file(const TemporaryFolder& folder, std::size_t padding) {
  Random random(11);
  std::string header = R"({"big":{"dtype":"F32","shape":[3,300000],"data_offsets":[0,3600000]},)"
                       R"("rows":{"dtype":"F32","shape":[700,40,5],"data_offsets":[3600000,4160000]},)"
                       R"("few":{"dtype":"F32","shape":[3,4],"data_offsets":[4160000,4160048]}})";
  header += std::string((8 - header.size() % 8) % 8 + padding, ' ');
  const std::string content = little_endian(header.size(), 8) + header + floats(random, 4160048 / 4);
  return read_tensor_list(folder.file(std::to_string(padding) + ".safetensors", content));
}

void expect_same(const Statistics& a, const Statistics& b) {
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.nan, b.nan);
  EXPECT_EQ(a.inf, b.inf);
  EXPECT_EQ(a.zeros, b.zeros);
  EXPECT_EQ(a.sum, b.sum);
  EXPECT_EQ(a.mean, b.mean);
  EXPECT_EQ(a.m2, b.m2);
  EXPECT_EQ(a.min, b.min);
  EXPECT_EQ(a.max, b.max);
  EXPECT_EQ(a.absmax, b.absmax);
}

void expect_same(const StatsResult& a, const StatsResult& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (std::size_t t = 0; t < a.tensors.size(); ++t) {
    expect_same(a.tensors[t]->all, b.tensors[t]->all);
    ASSERT_EQ(a.tensors[t]->channels.size(), b.tensors[t]->channels.size());
    for (std::size_t c = 0; c < a.tensors[t]->channels.size(); ++c) {
      expect_same(a.tensors[t]->channels[c], b.tensors[t]->channels[c]);
    }
  }
}

StatsOptions options_of(int threads, bool in_place, std::optional<std::int64_t> dim = std::nullopt) {
  StatsOptions options;
  options.threads = threads;
  options.in_place = in_place;
  options.channel_dim = dim;
  return options;
}

TEST(StatsRun, TheHostReadsMappedFiles) {
  EXPECT_TRUE(Device::create("host").info().reads_host_memory);
}

TEST(StatsRun, TheSameBitsInPlaceCopiedMisalignedAndByAnyNumberOfWorkers) {
  const TemporaryFolder folder;
  const std::vector<TensorFile> files{make_file(folder, 0)};
  const std::vector<TensorFile> misaligned{make_file(folder, 1)};
  ASSERT_EQ(files[0].tensors[0].offset % 4, 0U);
  ASSERT_EQ(misaligned[0].tensors[0].offset % 4, 1U);
  const Device device = Device::create("host");
  for (const std::optional<std::int64_t> dim :
       {std::optional<std::int64_t>(), std::optional<std::int64_t>(0), std::optional<std::int64_t>(1),
        std::optional<std::int64_t>(-1)}) {
    const StatsResult first = run_stats(device, files, options_of(1, true, dim));
    EXPECT_FALSE(first.interrupted);
    EXPECT_EQ(first.bytes, 4160048U);
    expect_same(first, run_stats(device, files, options_of(3, true, dim)));
    expect_same(first, run_stats(device, files, options_of(1, false, dim)));
    expect_same(first, run_stats(device, files, options_of(2, false, dim)));
    expect_same(first, run_stats(device, misaligned, options_of(2, true, dim)));
  }
}

TEST(StatsRun, TheSameBitsUnderAMemoryLimit) {
  const TemporaryFolder folder;
  const std::vector<TensorFile> files{make_file(folder, 0)};
  const StatsResult first = run_stats(Device::create("host"), files, options_of(2, false, 1));
  for (const std::size_t mib : {2, 4, 8}) {
    DeviceOptions limit;
    limit.memory_limit = mib << 20;
    const Device device = Device::create("host", limit);
    expect_same(first, run_stats(device, files, options_of(4, false, 1)));
    EXPECT_LE(device.memory().peak_committed, limit.memory_limit);
  }
}

/// Each use of memory is held against what orders it, and the order of everything else is left to chance.
TEST(StatsRun, BatchesOnTheirWayWaitForEachOther) {
  const TemporaryFolder folder;
  const std::vector<TensorFile> files{make_file(folder, 1)};
  for (const std::optional<std::int64_t> dim :
       {std::optional<std::int64_t>(), std::optional<std::int64_t>(1)}) {
    const StatsResult first = run_stats(Device::create("host"), files, options_of(1, true, dim));
    for (const std::uint64_t seed : {1, 2}) {
      DeviceOptions strict;
      strict.protect = true;
      strict.chaos = seed;
      const Device device = Device::create("host", strict);
      expect_same(first, run_stats(device, files, options_of(3, false, dim)));
      EXPECT_TRUE(device.missing_dependencies().empty());
    }
  }
}

TEST(StatsRun, OneWorkerHasSeveralBatchesOnTheirWay) {
  const TemporaryFolder folder;
  const std::vector<TensorFile> files{make_file(folder, 0)};
  const Device device = Device::create("host");
  run_stats(device, files, options_of(1, false));
  EXPECT_GE(device.memory().peak_live, 2 * kCopiedBytes);
  EXPECT_GE(device.memory(MemoryKind::pinned).peak_live, 2 * kCopiedBytes);
  EXPECT_EQ(device.memory().live, 0U);
  EXPECT_EQ(device.memory(MemoryKind::pinned).live, 0U);
}

TEST(StatsRun, ChannelsAreThoseOfTheirElements) {
  const TemporaryFolder folder;
  // [2, 3] of u8: 0 1 2 / 3 4 5, once with the last dimension dense, once with the first.
  const std::string rows = safetensors_file(R"({"a":{"dtype":"U8","shape":[2,3],"data_offsets":[0,6]}})", 0) +
                           std::string("\0\1\2\3\4\5", 6);
  const std::string columns = npy_file("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n", 0) +
                              std::string("\0\3\1\4\2\5", 6);
  const std::vector<TensorFile> files{read_tensor_list(folder.file("a.safetensors", rows)),
                                      read_tensor_list(folder.file("b.npy", columns))};
  const StatsResult result = run_stats(Device::create("host"), files, options_of(1, true, 1));
  for (const auto& tensor : result.tensors) {
    ASSERT_EQ(tensor->channels.size(), 3U);
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_EQ(tensor->channels[c].count, 2);
      EXPECT_EQ(tensor->channels[c].min, static_cast<double>(c));
      EXPECT_EQ(tensor->channels[c].max, static_cast<double>(c) + 3);
    }
    EXPECT_EQ(tensor->all.sum, 15);
  }
}

TEST(StatsRun, WhatIsKnownIsNotComputed) {
  const TemporaryFolder folder;
  const std::vector<TensorFile> files{make_file(folder, 0)};
  const Device device = Device::create("host");
  StatsOptions options = options_of(2, true);
  options.known.resize(3);
  options.known[0].emplace().all.count = 42;
  const StatsResult result = run_stats(device, files, options);
  EXPECT_EQ(result.tensors[0]->all.count, 42);
  EXPECT_EQ(result.tensors[1]->all.count, 140000);
  EXPECT_EQ(result.bytes, 560048U);
}

TEST(StatsRun, AFileThatChangedIsRefused) {
  const TemporaryFolder folder;
  const std::vector<TensorFile> files{make_file(folder, 0)};
  std::ofstream(files[0].path, std::ios::app) << "x";
  for (const bool in_place : {true, false}) {
    const Refusal refusal =
        refusal_of([&] { run_stats(Device::create("host"), files, options_of(2, in_place)); });
    EXPECT_THAT(refusal.message, ::testing::HasSubstr("a file that was changed since"));
  }
}

/// The beginning of the list is there, of each tensor all or nothing. Ends the process: an interruption
/// lasts.
[[noreturn]] void interrupt_a_run(const std::vector<TensorFile>& files) {
  catch_interrupts();
  std::thread interrupter([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    std::raise(SIGINT);
  });
  const StatsResult result = run_stats(Device::create("host"), files, options_of(2, false));
  interrupter.join();
  const auto missing = std::ranges::find_if(result.tensors, [](const auto& tensor) { return !tensor; });
  const bool whole = std::all_of(result.tensors.begin(), missing, [&](const auto& tensor) {
    return tensor->all.zeros == tensor->all.count && tensor->all.count == 1 << 21;
  });
  const bool none = std::all_of(missing, result.tensors.end(), [](const auto& tensor) { return !tensor; });
  std::filesystem::remove_all(std::filesystem::path(files.front().path).parent_path());
  std::_Exit(result.interrupted && whole && none ? 0 : 1);
}

TEST(StatsRun, AnInterruptionLeavesTheBeginning) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const TemporaryFolder folder;
  constexpr int kTensors = 256;
  constexpr std::size_t kEach = std::size_t{8} << 20;
  std::string header = "{";
  for (int t = 0; t < kTensors; ++t) {
    const std::size_t begin = static_cast<std::size_t>(t) * kEach;
    header += fmt::format(R"({}"{:03}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})",
                          t == 0 ? "" : ",", t, kEach / 4, begin, begin + kEach);
  }
  header += "}";
  const std::string path = folder.file("zeros.safetensors", safetensors_file(header, 0));
  std::filesystem::resize_file(path, 8 + header.size() + kTensors * kEach);
  EXPECT_EXIT(interrupt_a_run({read_tensor_list(path)}), testing::ExitedWithCode(0), "");
}

TEST(StatsRun, AFailureOnItsWayIsTheRunsOwn) {
  const TemporaryFolder folder;
  const std::vector<TensorFile> files{make_file(folder, 0)};
  DeviceOptions none;
  none.pinned_limit = std::size_t{2} << 20;
  none.out_of_memory_wait = std::chrono::milliseconds(1);
  EXPECT_THROW(run_stats(Device::create("host", none), files, options_of(3, false)), OutOfMemoryError);
}

}  // namespace
}  // namespace millrace::tool
