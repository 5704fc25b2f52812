#include "formats/pickle.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "formats/extension.h"

namespace millrace::tool {

bool is_pickle_name(const std::filesystem::path& path) {
  static constexpr std::string_view kNames[] = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt"};
  return std::ranges::find(kNames, lower_extension(path)) != std::end(kNames);
}

bool is_pickle(std::span<const std::byte> bytes) {
  // Those of protocol 2 and later begin with 0x80 and the protocol's number.
  return bytes.size() > 1 && bytes[0] == std::byte{0x80} && bytes[1] >= std::byte{2} &&
         bytes[1] <= std::byte{5};
}

}  // namespace millrace::tool
