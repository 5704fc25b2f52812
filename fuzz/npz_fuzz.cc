// libFuzzer target: any bytes either are refused with FileFormatError or describe ranges of the file that
// share no byte; deflated ones stream exactly what they claim or are refused.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "formats/file_format_error.h"
#include "formats/inflate.h"
#include "formats/npz.h"

namespace {

using namespace millrace::tool;

void stream(std::span<const std::byte> file, const TensorEntry& tensor) {
  const Deflated& packed = *tensor.deflated;
  if (packed.skip > packed.unpacked || packed.unpacked - packed.skip != tensor.bytes) std::abort();
  InflateReader reader(file, tensor, "fuzz.npz");
  std::array<std::byte, 1000> piece{};
  std::uint64_t total = 0;
  while (reader.left() > 0) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), reader.left()));
    reader.read(std::span(piece).first(count));
    total += count;
  }
  if (total != tensor.bytes) std::abort();
}

void check_line(const FileFormatError& error) {
  if (error.message().find('\n') != std::string::npos) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
  try {
    std::uint64_t end = 0;
    for (const TensorEntry& tensor : parse_npz(file, "fuzz.npz")) {
      if (checked_bytes(tensor.shape, millrace::size_of(tensor.dtype)) != tensor.bytes) std::abort();
      const std::uint64_t offset = tensor.deflated ? tensor.deflated->offset : tensor.offset;
      const std::uint64_t bytes = tensor.deflated ? tensor.deflated->bytes : tensor.bytes;
      if (offset < end || offset > size || bytes > size - offset) std::abort();
      end = offset + bytes;
      if (!tensor.deflated) continue;
      try {
        stream(file, tensor);
      } catch (const FileFormatError& error) {
        check_line(error);
      }
    }
  } catch (const FileFormatError& error) {
    check_line(error);
  }
  return 0;
}
