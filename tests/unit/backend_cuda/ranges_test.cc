// NVTX ranges, told to a profiler that is part of the test.
#define NVTX_NO_IMPL 1  // the types alone: this is the profiler
#include <gtest/gtest.h>
#include <millrace/millrace.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "support/fake_cuda.h"

namespace millrace::test {
namespace {

struct Profiler {
  std::mutex mutex;
  std::vector<std::string> domains;
  std::vector<std::string> ranges;
  int open = 0;
};

// Never destroyed: ranges may end while the process does.
Profiler& profiler() {
  static Profiler* const once = new Profiler;
  return *once;
}

nvtxDomainHandle_t create_domain(const char* name) {
  const std::lock_guard lock(profiler().mutex);
  profiler().domains.emplace_back(name);
  return reinterpret_cast<nvtxDomainHandle_t>(&profiler());
}

int push_range(nvtxDomainHandle_t, const nvtxEventAttributes_t* attributes) {
  const std::lock_guard lock(profiler().mutex);
  profiler().ranges.emplace_back(attributes->message.ascii);
  return profiler().open++;
}

int pop_range(nvtxDomainHandle_t) {
  const std::lock_guard lock(profiler().mutex);
  return --profiler().open;
}

int start_profiler(NvtxGetExportTableFunc_t get_table) {
  const auto* const callbacks = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) == 0) return 0;
  *table[NVTX_CBID_CORE2_DomainCreateA] = reinterpret_cast<NvtxFunctionPointer>(&create_domain);
  *table[NVTX_CBID_CORE2_DomainRangePushEx] = reinterpret_cast<NvtxFunctionPointer>(&push_range);
  *table[NVTX_CBID_CORE2_DomainRangePop] = reinterpret_cast<NvtxFunctionPointer>(&pop_range);
  return 1;
}

/// What a device with or without the option told of.
std::vector<std::string> ranges_of(bool nvtx) {
  {
    const std::lock_guard lock(profiler().mutex);
    profiler().ranges.clear();
  }
  {
    Device device = Device::create("cuda:0", {.nvtx = nvtx});
    Stream stream = device.stream();
    const Buffer buffer = device.buffer(64);
    stream.fill(buffer.data(), 1, 64);
    stream.run("a task of mine", [] {});
    stream.wait();
  }
  const std::lock_guard lock(profiler().mutex);
  EXPECT_EQ(profiler().open, 0);
  return profiler().ranges;
}

TEST(Ranges, AreMadeWhenAsked) {
  install_fake_cuda();
  EXPECT_TRUE(ranges_of(false).empty());
  const std::vector<std::string> ranges = ranges_of(true);
  for (const char* name : {"fill", "a task of mine", "stream 1"})
    EXPECT_NE(std::find(ranges.begin(), ranges.end(), name), ranges.end()) << name;
  EXPECT_EQ(profiler().domains, std::vector<std::string>{"millrace"});
}

}  // namespace
}  // namespace millrace::test

// By this name NVTX finds a profiler that is linked in.
extern "C" {
NvtxInitializeInjectionNvtxFunc_t InitializeInjectionNvtx2_fnptr = &millrace::test::start_profiler;
}
