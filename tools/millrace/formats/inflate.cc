#include "formats/inflate.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include <fmt/format.h>
#include <zlib.h>

#include "formats/file_format_error.h"

namespace millrace::tool {
namespace {

/// zlib counts what it is given in unsigned int.
constexpr std::size_t kMostAtOnce = std::size_t{1} << 30U;
constexpr std::size_t kSkipBytes = 4096;

}  // namespace

void InflateReader::End::operator()(z_stream_s* stream) const noexcept {
  inflateEnd(stream);
  delete stream;
}

InflateReader::InflateReader(std::span<const std::byte> file, const Deflated& packed, std::string path,
                             std::string name)
    : rest_(file.subspan(static_cast<std::size_t>(packed.offset), static_cast<std::size_t>(packed.bytes))),
      packed_(packed),
      path_(std::move(path)),
      name_(std::move(name)),
      left_(packed.unpacked) {
  auto stream = std::make_unique<z_stream_s>();
  // Negative: no header of zlib's own, as ZIP has it.
  if (inflateInit2(stream.get(), -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  stream_.reset(stream.release());
  if (left_ == 0) finish();
}

InflateReader::InflateReader(std::span<const std::byte> file, const TensorEntry& tensor, std::string path)
    : InflateReader(file, tensor.deflated.value(), std::move(path), tensor.name) {
  std::array<std::byte, kSkipBytes> dropped{};
  for (std::uint64_t skip = packed_.skip; skip > 0;) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(skip, dropped.size()));
    read(std::span(dropped).first(count));
    skip -= count;
  }
}

InflateReader::~InflateReader() = default;

void InflateReader::read(std::span<std::byte> to) {
  if (to.empty()) return;
  if (to.size() > left_) {
    fail(fmt::format("{} more bytes of \"{}\"", to.size(), printable(name_)), fmt::format("{} left", left_));
  }
  const std::size_t came = unpack(to);
  left_ -= came;
  if (came < to.size()) {
    fail(fmt::format("\"{}\" to unpack to {} bytes", printable(name_), packed_.unpacked),
         fmt::format("the end of the data after {}", packed_.unpacked - left_));
  }
  if (left_ == 0) finish();
}

std::size_t InflateReader::unpack(std::span<std::byte> to) {
  std::size_t came = 0;
  while (came < to.size() && !ended_) {
    const std::span<std::byte> room = to.subspan(came, std::min(to.size() - came, kMostAtOnce));
    const std::size_t given = std::min(rest_.size(), kMostAtOnce);
    // zlib takes no pointer to const, and does not write through this one.
    stream_->next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
    stream_->avail_in = static_cast<uInt>(given);
    stream_->next_out = reinterpret_cast<Bytef*>(room.data());
    stream_->avail_out = static_cast<uInt>(room.size());
    const int result = inflate(stream_.get(), Z_NO_FLUSH);
    rest_ = rest_.subspan(given - stream_->avail_in);
    const std::size_t count = room.size() - stream_->avail_out;
    crc_ = static_cast<std::uint32_t>(
        crc32(crc_, reinterpret_cast<const Bytef*>(room.data()), static_cast<uInt>(count)));
    came += count;
    ended_ = result == Z_STREAM_END;
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result == Z_BUF_ERROR) {
      fail(fmt::format("the rest of \"{}\", packed", printable(name_)),
           fmt::format("the end of its {} bytes", packed_.bytes));
    }
    if (result != Z_OK && result != Z_STREAM_END) {
      fail(fmt::format("deflated data of \"{}\"", printable(name_)),
           fmt::format("damage: {}", stream_->msg != nullptr ? stream_->msg : "no such block"));
    }
  }
  return came;
}

void InflateReader::finish() {
  std::byte more{};
  if (unpack({&more, 1}) > 0) {
    fail(fmt::format("\"{}\" to unpack to {} bytes", printable(name_), packed_.unpacked), "more");
  }
  if (!rest_.empty()) {
    fail(fmt::format("the end of \"{}\"", printable(name_)),
         fmt::format("{} bytes behind its data", rest_.size()));
  }
  if (crc_ != packed_.crc) {
    fail(fmt::format("the checksum {:08x} of \"{}\", unpacked", packed_.crc, printable(name_)),
         fmt::format("{:08x}; the file is damaged", crc_));
  }
}

void InflateReader::fail(std::string expected, std::string found) const {
  throw FileFormatError(path_, packed_.offset + taken(), std::move(expected), std::move(found));
}

}  // namespace millrace::tool
