#include "bench/synthetic_checkpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <system_error>

#include <fmt/format.h>

#include "byte_size.h"
#include "formats/file_format_error.h"
#include "formats/safetensors_writer.h"
#include "half.h"
#include "interrupt.h"
#include "random.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

constexpr std::int64_t kRow = 1024;
constexpr std::size_t kBlockElements = std::size_t{1} << 20;
constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kSettleBytes = 64 * kMiB;
constexpr std::array<DType, 3> kTypes{DType::bf16, DType::f16, DType::f32};

std::string reason() {
  return std::generic_category().message(errno);
}

/// Values as weights have them, and a few zeros.
template <typename Element, typename Convert>
std::vector<std::byte> make_block(Convert convert) {
  Random random(7);
  std::vector<std::byte> block(kBlockElements * sizeof(Element));
  for (std::size_t i = 0; i < kBlockElements; ++i) {
    const Element element = convert(i % 4099 == 11 ? 0.0F : static_cast<float>(0.02 * random.normal()));
    std::memcpy(block.data() + i * sizeof(Element), &element, sizeof(Element));
  }
  return block;
}

std::vector<std::byte> make_block(DType dtype) {
  if (dtype == DType::bf16) return make_block<std::uint16_t>(to_bf16);
  if (dtype == DType::f16) return make_block<std::uint16_t>(to_f16);
  return make_block<float>([](float value) { return value; });
}

/// One NaN in f32, two of them in bf16 and in f16.
constexpr std::array<std::byte, 4> kNaN{std::byte{0xC0}, std::byte{0x7F}, std::byte{0xC0}, std::byte{0x7F}};
/// Most checkpoints have none; one tensor of this many has.
constexpr std::size_t kNaNEvery = 8;

[[noreturn]] void refuse_size(const std::string& folder, std::uint64_t bytes, const std::string& found) {
  throw UsageError(fmt::format("--size: {} do not fit {}: {}; choose a smaller --size or another --dir",
                               format_byte_size(bytes), folder, found));
}

/// Before anything is written: reserving takes all that is left before it fails.
void check_space(const std::string& folder, std::uint64_t bytes) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) {
    throw UsageError(fmt::format("--dir: cannot write to {}: {}", folder, reason()));
  }
  const std::uint64_t free = std::uint64_t{info.f_bavail} * info.f_frsize;
  if (free < bytes) refuse_size(folder, bytes, format_byte_size(free) + " free there");
}

/// False where the file system did not take all of it, with errno set.
bool write_all(int file, std::span<iovec> parts) {
  while (!parts.empty()) {
    const ssize_t now = ::writev(file, parts.data(), static_cast<int>(parts.size()));
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return false;
    auto written = static_cast<std::size_t>(now);
    while (!parts.empty() && written >= parts.front().iov_len) {
      written -= parts.front().iov_len;
      parts = parts.subspan(1);
    }
    if (parts.empty()) break;
    parts.front().iov_base = static_cast<std::byte*>(parts.front().iov_base) + written;
    parts.front().iov_len -= written;
  }
  return true;
}

}  // namespace

std::vector<TensorEntry> checkpoint_tensors(std::uint64_t bytes) {
  const std::uint64_t smallest = std::min(kMiB, bytes / 16);
  const std::uint64_t largest = std::min(256 * kMiB, bytes / 4);
  Random random(11);
  std::vector<TensorEntry> tensors;
  for (std::uint64_t left = bytes; left >= smallest;) {
    TensorEntry tensor;
    tensor.dtype = kTypes[tensors.size() % kTypes.size()];
    const std::uint64_t row = kRow * size_of(tensor.dtype);
    std::uint64_t wanted = random.log_uniform(smallest, largest);
    // What is left must be nothing or a tensor.
    if (wanted + smallest > left) wanted = left <= largest ? left : left / 2;
    const std::uint64_t rows = wanted / row;
    tensor.name = fmt::format("layers.{}.weight", tensors.size());
    tensor.shape = {static_cast<std::int64_t>(rows), kRow};
    tensor.bytes = rows * row;
    left -= tensor.bytes;
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

SyntheticCheckpoint::SyntheticCheckpoint(const std::string& folder, std::uint64_t bytes, bool keep) {
  const std::string kept = fmt::format("{}/millrace-bench-{}.safetensors", folder, bytes);
  std::error_code error;
  if (const bool there = std::filesystem::exists(kept, error); !there) check_space(folder, bytes);
  tensors_ = checkpoint_tensors(bytes);
  header_ = safetensors_header(tensors_);
  for (const TensorEntry& tensor : tensors_) bytes_ += tensor.bytes;
  if (reuse(kept)) return;
  create(folder, keep);
  try {
    const int full = ::posix_fallocate(file_, 0, static_cast<off_t>(header_.size() + bytes_));
    if (full != 0) refuse_size(folder, bytes_, std::generic_category().message(full));
    whole_ = write_tensors() && settle();
    if (whole_ && keep) keep_as(kept);
  } catch (...) {
    close();
    throw;
  }
}

void SyntheticCheckpoint::close() noexcept {
  if (!unfinished_.empty()) ::unlink(unfinished_.c_str());
  ::close(file_);
}

bool SyntheticCheckpoint::reuse(const std::string& path) {
  file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file_ < 0) return false;
  struct stat info {};
  std::vector<std::byte> header(header_.size());
  whole_ = ::fstat(file_, &info) == 0 && S_ISREG(info.st_mode) &&
           static_cast<std::uint64_t>(info.st_size) == header_.size() + bytes_ &&
           ::pread(file_, header.data(), header.size(), 0) == static_cast<ssize_t>(header.size()) &&
           header == header_;
  if (!whole_) {
    ::close(file_);
    return false;
  }
  path_ = path;
  return true;
}

void SyntheticCheckpoint::create(const std::string& folder, bool keep) {
  std::string name = folder + "/millrace-bench-XXXXXX";
  file_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (file_ < 0) throw UsageError(fmt::format("--dir: cannot write to {}: {}", folder, reason()));
  if (keep) {
    unfinished_ = name;
  } else {
    ::unlink(name.c_str());
  }
  path_ = fmt::format("/proc/{}/fd/{}", ::getpid(), file_);
}

void SyntheticCheckpoint::keep_as(const std::string& path) {
  if (::rename(unfinished_.c_str(), path.c_str()) != 0) {
    throw UsageError(fmt::format("--keep: cannot name it {}: {}", path, reason()));
  }
  unfinished_.clear();
}

bool SyntheticCheckpoint::write_tensors() const {
  std::array<std::vector<std::byte>, kTypes.size()> blocks;
  for (std::size_t i = 0; i < kTypes.size(); ++i) blocks[i] = make_block(kTypes[i]);
  const auto write_or_throw = [&](std::span<iovec> parts) {
    if (!write_all(file_, parts)) throw UsageError("--dir: cannot write all of the checkpoint: " + reason());
  };
  // writev only reads, but has no pointer to const.
  iovec header{const_cast<std::byte*>(header_.data()), header_.size()};
  write_or_throw({&header, 1});
  for (std::size_t t = 0; t < tensors_.size(); ++t) {
    if (interrupted()) return false;
    std::vector<std::byte>& block = blocks[t % kTypes.size()];
    // Each tensor begins at another place of the block, so that no two are alike.
    std::uint64_t at = t * 7919 % kBlockElements * size_of(tensors_[t].dtype);
    // In one call, as savers of checkpoints write a tensor: the size of a write decides how large the pages
    // are that the page cache takes for it.
    std::vector<iovec> parts;
    for (std::uint64_t left = tensors_[t].bytes; left > 0; at = 0) {
      const std::uint64_t now = std::min<std::uint64_t>(left, block.size() - at);
      parts.push_back({block.data() + at, static_cast<std::size_t>(now)});
      left -= now;
    }
    write_or_throw(parts);
    if (t % kNaNEvery != kNaNEvery / 2) continue;
    const off_t end = ::lseek(file_, 0, SEEK_CUR);
    if (::pwrite(file_, kNaN.data(), kNaN.size(), end - 4096) != static_cast<ssize_t>(kNaN.size())) {
      throw UsageError("--dir: cannot write all of the checkpoint: " + reason());
    }
  }
  return true;
}

/// On disk, so that nothing is written back while we measure.
bool SyntheticCheckpoint::settle() const {
  const std::uint64_t end = header_.size() + bytes_;
  for (std::uint64_t at = 0; at < end; at += kSettleBytes) {
    if (interrupted()) return false;
    // A file system without it writes back when it likes: not as quiet, not wrong.
    ::sync_file_range(file_, static_cast<off_t>(at), static_cast<off_t>(kSettleBytes),
                      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  }
  return true;
}

}  // namespace millrace::tool
