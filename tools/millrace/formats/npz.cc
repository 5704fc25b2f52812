#include "formats/npz.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "formats/file_format_error.h"
#include "formats/inflate.h"
#include "formats/npy.h"
#include "formats/pickle.h"
#include "formats/zip.h"

namespace millrace::tool {
namespace {

constexpr std::string_view kSuffix = ".npy";

bool is_folder(const ZipMember& member) {
  return member.name.ends_with('/') && member.bytes == 0;
}

void check_suffix(const ZipMember& member, const std::string& file) {
  if (member.name.ends_with(kSuffix)) return;
  const std::string name = printable(member.name);
  if (is_pickle_name(member.name)) {
    throw FileFormatError(
        file, member.header, "only .npy members in a .npz file",
        fmt::format("\"{}\", {}; save the arrays again with numpy.savez", name, kPickleRefusal));
  }
  throw FileFormatError(
      file, member.header, "only .npy members in a .npz file",
      fmt::format("\"{}\"; take it out with `zip -d`, or unpack the archive and name the folder", name));
}

/// As much of a deflated member as its header takes.
std::vector<std::byte> unpack_head(std::span<const std::byte> bytes, const std::string& file,
                                   const ZipMember& member, const Deflated& packed) {
  InflateReader reader(bytes, packed, file, member.name);
  std::vector<std::byte> head(static_cast<std::size_t>(std::min<std::uint64_t>(member.bytes, kNpyPreamble)));
  reader.read(head);
  const std::size_t read = head.size();
  head.resize(static_cast<std::size_t>(
      std::clamp<std::uint64_t>(npy_head_bytes(head), read, std::max<std::uint64_t>(read, member.bytes))));
  reader.read(std::span(head).subspan(read));
  return head;
}

/// The head of a member's array; what is wrong with it is said in terms of the archive.
TensorEntry read_head(std::span<const std::byte> head, const std::string& file, const ZipMember& member) {
  try {
    return parse_npy_head(head, member.bytes, file);
  } catch (const FileFormatError& error) {
    const std::uint64_t at = error.offset().value_or(0);
    const std::string unpacked = member.deflated ? fmt::format(", byte {} unpacked", at) : std::string();
    throw FileFormatError(
        file, member.offset + (member.deflated ? 0 : at),
        fmt::format("{} (member \"{}\"{})", error.expected(), printable(member.name), unpacked),
        error.found());
  }
}

TensorEntry read_member(std::span<const std::byte> bytes, const std::string& file, const ZipMember& member) {
  if (!member.deflated) {
    TensorEntry tensor = read_head(
        bytes.subspan(static_cast<std::size_t>(member.offset), static_cast<std::size_t>(member.bytes)), file,
        member);
    tensor.offset += member.offset;
    return tensor;
  }
  Deflated packed{member.offset, member.packed, member.bytes, 0, member.crc};
  TensorEntry tensor = read_head(unpack_head(bytes, file, member, packed), file, member);
  packed.skip = std::exchange(tensor.offset, 0);
  tensor.deflated = packed;
  return tensor;
}

}  // namespace

std::vector<TensorEntry> parse_npz(std::span<const std::byte> bytes, const std::string& file) {
  std::vector<TensorEntry> tensors;
  for (const ZipMember& member : parse_zip(bytes, file)) {
    if (is_folder(member)) continue;
    check_suffix(member, file);
    tensors.push_back(read_member(bytes, file, member));
    tensors.back().name = member.name.substr(0, member.name.size() - kSuffix.size());
  }
  return tensors;
}

}  // namespace millrace::tool
