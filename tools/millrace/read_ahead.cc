#include "read_ahead.h"

#include <algorithm>
#include <utility>

#include "mapped_pages.h"

namespace millrace::tool {
namespace {

/// For each worker: at up to 64 MiB more than keeps a disk busy, and little beside what a page cache
/// holds.
constexpr std::size_t kJobsAhead = 1;
/// Below it a file comes as fast without being mapped a second time just to ask for it.
constexpr std::uint64_t kWorthMapping = 256 << 10;

}  // namespace

ReadAhead::ReadAhead(std::vector<FileRange> ranges, SharedMappings& mappings, int workers)
    : ranges_(std::move(ranges)),
      mappings_(mappings),
      window_(kJobsAhead * static_cast<std::size_t>(workers)) {}

void ReadAhead::advance(std::size_t job) {
  const std::size_t end = std::min(job + 1 + window_, ranges_.size());
  std::size_t next = asked_.load(std::memory_order_relaxed);
  while (next < end) {
    if (!asked_.compare_exchange_weak(next, next + 1, std::memory_order_relaxed)) continue;
    ask(ranges_[next], ranges_[job]);
    ++next;
  }
}

void ReadAhead::ask(const FileRange& wanted, const FileRange& taken) {
  if (wanted.file != taken.file && wanted.bytes < kWorthMapping) return;
  read_ahead(*mappings_.get(wanted.file), wanted.offset, wanted.bytes);
}

}  // namespace millrace::tool
