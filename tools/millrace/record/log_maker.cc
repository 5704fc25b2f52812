#include "record/log_maker.h"

#include <algorithm>

#include <fmt/format.h>

#include "formats/rmm_csv.h"

namespace millrace::tool {
namespace {

constexpr std::uint64_t kAlignment = 512;

std::uint64_t rounded(std::uint64_t bytes) {
  return std::max((bytes + kAlignment - 1) / kAlignment, std::uint64_t{1}) * kAlignment;
}

}  // namespace

LogMaker::LogMaker(OutputFile& out) : out_(out) {
  out_.begin();
  out_.write(fmt::format("{}\n", kRmmColumns));
}

LogMaker::Block LogMaker::allocate(std::size_t thread, std::size_t stream, std::uint64_t bytes) {
  Block block{0, bytes};
  if (const auto found = free_.find(rounded(bytes)); found != free_.end() && !found->second.empty()) {
    block.address = found->second.back();
    found->second.pop_back();
  } else {
    block.address = next_address_;
    next_address_ += rounded(bytes);
  }
  live_ += bytes;
  peak_live_ = std::max(peak_live_, live_);
  write(thread, stream, "allocate", block);
  return block;
}

void LogMaker::release(std::size_t thread, std::size_t stream, Block block) {
  live_ -= block.bytes;
  free_[rounded(block.bytes)].push_back(block.address);
  write(thread, stream, "free", block);
}

void LogMaker::write(std::size_t thread, std::size_t stream, const char* action, Block block) {
  // A microsecond an event: logs of a seed are the same byte for byte.
  const std::uint64_t seconds = events_ / 1'000'000 % 86'400;
  out_.write(fmt::format("{},{:02}:{:02}:{:02}.{:06},{},0x{:x},{},0x{:x}\n", thread + 1, seconds / 3600,
                         seconds / 60 % 60, seconds % 60, events_ % 1'000'000, action, block.address,
                         block.bytes, stream + 1));
  ++events_;
}

}  // namespace millrace::tool
