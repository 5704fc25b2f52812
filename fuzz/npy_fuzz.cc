// libFuzzer target: any bytes either are refused with FileFormatError or describe a range of the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "formats/file_format_error.h"
#include "formats/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace::tool;
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
  try {
    const TensorEntry tensor = parse_npy(file, "fuzz.npy");
    if (tensor.offset > size || tensor.bytes != size - tensor.offset) std::abort();
    if (checked_bytes(tensor.shape, millrace::size_of(tensor.dtype)) != tensor.bytes) std::abort();
  } catch (const FileFormatError& error) {
    if (error.message().find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
