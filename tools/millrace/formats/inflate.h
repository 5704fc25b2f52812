// Deflated data as a stream of bytes, checked against its size and its checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "formats/tensor_file.h"

struct z_stream_s;

namespace millrace::tool {

/// Unpacks one range of a file from its beginning to its end, as much at a time as is asked for. Needs
/// about 40 KiB, however much is packed and whatever the file claims.
///
/// Thread safety: one thread at a time; readers of the same file are independent.
class InflateReader {
 public:
  /// Reads the whole packed range. file: all of its bytes, which must outlive the reader and contain the
  /// range; path and name (of what is packed): for errors.
  InflateReader(std::span<const std::byte> file, const Deflated& packed, std::string path, std::string name);
  /// Reads the elements of a tensor, which must be deflated: the array's header is unpacked and dropped.
  InflateReader(std::span<const std::byte> file, const TensorEntry& tensor, std::string path);
  InflateReader(const InflateReader&) = delete;
  InflateReader& operator=(const InflateReader&) = delete;
  ~InflateReader();

  /// Unpacked bytes not read so far.
  std::uint64_t left() const noexcept { return left_; }

  /// Fills the span with the next unpacked bytes, at most left(). The call that reads the last of them
  /// also checks that the data ends there, and the checksum.
  ///
  /// Throws FileFormatError when the data is damaged or ends early, and then can't be used any more.
  void read(std::span<std::byte> to);

 private:
  struct End {
    void operator()(z_stream_s* stream) const noexcept;
  };

  /// Unpacks into the span; returns how much came. Less than asked for: the data ended.
  std::size_t unpack(std::span<std::byte> to);
  void finish();
  std::uint64_t taken() const noexcept { return packed_.bytes - rest_.size(); }
  [[noreturn]] void fail(std::string expected, std::string found) const;

  std::span<const std::byte> rest_;  // packed bytes not taken so far
  const Deflated packed_;
  const std::string path_;
  const std::string name_;
  std::unique_ptr<z_stream_s, End> stream_;
  std::uint64_t left_;
  std::uint32_t crc_ = 0;
  bool ended_ = false;  // the data said so
};

}  // namespace millrace::tool
