// A limit on memory, the error when it is reached, and a callback that can still prevent the error.
#include <millrace/millrace.h>

#include <cstdio>
#include <vector>

namespace {
constexpr std::size_t kMiB = std::size_t{1} << 20;

/// Allocates 10 MiB blocks until there is no room for more.
std::vector<millrace::Buffer> fill_up(millrace::Device& device, millrace::OutOfMemoryReport* report) {
  std::vector<millrace::Buffer> blocks;
  try {
    for (;;) blocks.push_back(device.buffer(10 * kMiB));
  } catch (const millrace::OutOfMemoryError& error) {
    std::printf("after %zu blocks: %s\n", blocks.size(), error.what());
    *report = error.report();
  }
  return blocks;
}

}  // namespace

int main() {
  // What the program could do without, given up when the device asks for it.
  std::vector<millrace::Buffer> nice_to_have;
  int asked = 0;

  millrace::DeviceOptions options;
  options.memory_limit = 64 * kMiB;
  options.on_out_of_memory = [&](std::size_t) {
    ++asked;
    const bool freed = !nice_to_have.empty();
    nice_to_have.clear();
    return freed;  // true: try once more
  };
  millrace::Device device = millrace::Device::create("auto", options);

  // The error says what was asked, what is held and by whom.
  millrace::OutOfMemoryReport report;
  std::vector<millrace::Buffer> blocks = fill_up(device, &report);
  if (blocks.size() != 6 || asked != 1) return 1;
  if (report.requested != 10 * kMiB || report.limit != 64 * kMiB || report.live < 60 * kMiB) return 1;

  // Nothing was lost: with one block given back, the next allocation finds room.
  blocks.pop_back();
  blocks.push_back(device.buffer(10 * kMiB));

  // This time the callback frees enough, and the caller notices nothing.
  nice_to_have.push_back(std::move(blocks.back()));
  blocks.pop_back();
  blocks.push_back(device.buffer(10 * kMiB));
  if (asked != 2 || !nice_to_have.empty()) return 1;

  blocks.clear();
  device.trim();
  const millrace::MemoryStats memory = device.memory();
  std::printf("peak %zu MiB of %zu MiB, %zu bytes live, %zu committed\n", memory.peak_committed / kMiB,
              memory.limit / kMiB, memory.live, memory.committed);
  return memory.live == 0 && memory.committed == 0 && memory.peak_committed <= memory.limit ? 0 : 1;
}
