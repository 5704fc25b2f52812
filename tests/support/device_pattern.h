// Patterns in blocks of a device, written and checked whether or not the host can touch them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "support/pattern.h"
#include "support/random.h"
#include "support/test_device.h"

namespace millrace::test {

/// Random bytes that last as long as the process, so that copies from them may run at any time.
class Noise {
 public:
  /// Calls visit(offset, bytes, count) for the pieces that make up the tag's stretch of noise: it begins
  /// where the tag says and goes round.
  template <typename Visit>
  static void for_each_piece(std::uint64_t tag, std::size_t bytes, Visit&& visit) {
    static const std::vector<std::byte> noise = make();
    const std::byte* const start = noise.data() + pattern_word(tag, 0) % kPeriod;
    for (std::size_t offset = 0; offset < bytes; offset += kPeriod)
      visit(offset, start, std::min(kPeriod, bytes - offset));
  }

 private:
  static constexpr std::size_t kPeriod = std::size_t{1} << 20;

  /// Two periods: from any place in the first, a whole one lies ahead.
  static std::vector<std::byte> make() {
    std::vector<std::byte> noise(2 * kPeriod);
    Random random(1);
    for (std::size_t at = 0; at < kPeriod; at += sizeof(std::uint64_t)) {
      const std::uint64_t word = random.next();
      std::memcpy(noise.data() + at, &word, sizeof word);
      std::memcpy(noise.data() + kPeriod + at, &word, sizeof word);
    }
    return noise;
  }
};

/// Writes and checks blocks of one device: words in place where the host shares its memory, else noise
/// over the whole block, copied in and out on streams.
///
/// Thread safety: any thread.
class DevicePatterns {
 public:
  explicit DevicePatterns(Device device)
      : device_(std::move(device)), in_place_(host_shares_memory(device_)) {}

  bool in_place() const { return in_place_; }
  /// How many operations to do of so many that only touch memory: a copy that is waited for costs more.
  std::size_t operations(std::size_t in_place) const {
    return in_place_ ? in_place : std::max<std::size_t>(in_place / 20, 1);
  }

  /// At once; a copy goes through the calling thread's stream.
  void write(void* block, std::size_t bytes, std::uint64_t tag) const {
    if (in_place_) return write_pattern(block, bytes, tag);
    Stream stream = Device(device_).stream();
    copy_in(stream, block, bytes, tag);
    stream.wait();
  }
  bool check(const void* block, std::size_t bytes, std::uint64_t tag) const {
    if (in_place_) return has_pattern(block, bytes, tag);
    return has_noise(read_back<std::byte>(Device(device_).stream(), block, bytes), tag);
  }

  /// In the stream's order; neither commits.
  void record_write(Stream stream, void* block, std::size_t bytes, std::uint64_t tag) const {
    if (!in_place_) return copy_in(stream, block, bytes, tag);
    stream.run("write", [=] { write_pattern(block, bytes, tag); }, {writes(block, bytes)});
  }
  /// A task tells then whether the pattern was there.
  template <typename Then>
  void record_check(Stream stream, const void* block, std::size_t bytes, std::uint64_t tag, Then then) const {
    if (in_place_) {
      stream.run("check", [=] { then(has_pattern(block, bytes, tag)); }, {reads(block, bytes)});
      return;
    }
    const auto seen = std::make_shared<std::vector<std::byte>>(bytes);  // ends with the task, after the copy
    stream.copy(seen->data(), block, bytes);
    stream.run("check", [=] { then(has_noise(*seen, tag)); });
  }

 private:
  static void copy_in(Stream stream, void* block, std::size_t bytes, std::uint64_t tag) {
    Noise::for_each_piece(tag, bytes, [&](std::size_t offset, const std::byte* noise, std::size_t count) {
      stream.copy(static_cast<std::byte*>(block) + offset, noise, count);
    });
  }
  static bool has_noise(const std::vector<std::byte>& seen, std::uint64_t tag) {
    bool same = true;
    Noise::for_each_piece(tag, seen.size(),
                          [&](std::size_t offset, const std::byte* noise, std::size_t count) {
                            same = same && std::memcmp(seen.data() + offset, noise, count) == 0;
                          });
    return same;
  }

  const Device device_;
  const bool in_place_;
};

}  // namespace millrace::test
