#include "formats/zip.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "formats/file_format_error.h"

namespace millrace::tool {
namespace {

// The format's own names and numbers: "APPNOTE.TXT - .ZIP File Format Specification", chapter 4.
constexpr std::uint64_t kLocalBytes = 30;
constexpr std::uint64_t kCentralBytes = 46;
constexpr std::uint64_t kEndBytes = 22;
constexpr std::uint64_t kEnd64Bytes = 56;
constexpr std::uint64_t kLocator64Bytes = 20;
constexpr std::uint64_t kMaxComment = 0xFFFF;
constexpr std::uint16_t kMany16 = 0xFFFF;      // the number is in the zip64 record
constexpr std::uint32_t kMany32 = 0xFFFFFFFF;  // the same
constexpr std::uint16_t kZip64Field = 1;

constexpr std::uint16_t kEncrypted = 1U << 0U | 1U << 6U | 1U << 13U;
constexpr std::uint16_t kSizesFollow = 1U << 3U;
constexpr std::uint16_t kPatch = 1U << 5U;

constexpr std::uint16_t kStored = 0;
constexpr std::uint16_t kDeflate = 8;
/// A match of 258 bytes takes two bits at least.
constexpr std::uint64_t kMostUnpackedPerByte = 1032;

std::string method_name(std::uint16_t method) {
  static constexpr std::pair<std::uint16_t, const char*> kNames[] = {
      {1, "shrunk"}, {6, "imploded"}, {9, "Deflate64"},
      {12, "bzip2"}, {14, "LZMA"},    {93, "Zstandard"},
      {95, "XZ"},    {98, "PPMd"},    {99, "encrypted with AES"}};
  for (const auto& [number, name] : kNames) {
    if (number == method) return fmt::format("method {} ({})", method, name);
  }
  return fmt::format("method {}", method);
}

/// Where the central directory lies and how many members it lists.
struct Directory {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t members = 0;
};

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  std::vector<ZipMember> read() const {
    const Directory directory = find_directory();
    std::vector<ZipMember> members;
    std::unordered_set<std::string> names;
    std::uint64_t at = directory.begin;
    while (at != directory.end) {
      ZipMember member;
      const std::uint64_t next = read_central(at, directory, member);
      if (!names.insert(member.name).second) fail(at, "each member once", "a second " + quoted(member.name));
      members.push_back(std::move(member));
      at = next;
    }
    if (members.size() != directory.members) {
      fail(directory.end, fmt::format("{} members, as the end record says", directory.members),
           fmt::format("{} in the central directory", members.size()));
    }
    std::ranges::sort(members, {}, &ZipMember::header);
    check_overlaps(members);
    return members;
  }

 private:
  [[noreturn]] void fail(std::uint64_t at, std::string expected, std::string found) const {
    throw FileFormatError(file_, at, std::move(expected), std::move(found));
  }

  static std::string quoted(std::string_view name) { return fmt::format("\"{}\"", printable(name)); }

  std::uint64_t size() const { return bytes_.size(); }

  /// A number of this many bytes; the caller has made sure that they are there.
  std::uint64_t number(std::uint64_t at, std::size_t count) const {
    std::uint64_t value = 0;
    for (std::size_t i = count; i-- > 0;) {
      value = value << 8U | std::to_integer<std::uint64_t>(bytes_[static_cast<std::size_t>(at) + i]);
    }
    return value;
  }
  std::uint16_t u16(std::uint64_t at) const { return static_cast<std::uint16_t>(number(at, 2)); }
  std::uint32_t u32(std::uint64_t at) const { return static_cast<std::uint32_t>(number(at, 4)); }
  std::uint64_t u64(std::uint64_t at) const { return number(at, 8); }

  std::string_view text(std::uint64_t at, std::uint64_t count) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + at, static_cast<std::size_t>(count)};
  }

  /// Whether at..at+count lies before end, without overflow.
  static bool fits(std::uint64_t at, std::uint64_t count, std::uint64_t end) {
    return at <= end && count <= end - at;
  }

  bool is_at(std::uint64_t at, std::string_view signature) const {
    return fits(at, signature.size(), size()) && text(at, signature.size()) == signature;
  }

  Directory find_directory() const {
    if (size() < kEndBytes) fail(0, "a ZIP archive", fmt::format("a file of {} bytes", size()));
    const std::uint64_t last = size() - kEndBytes;
    const std::uint64_t first = last > kMaxComment ? last - kMaxComment : 0;
    for (std::uint64_t at = last + 1; at-- > first;) {
      if (is_at(at, kZipEmpty) && u16(at + 20) == last - at) return read_end(at);
    }
    fail(first, "the end record of a ZIP archive, which is its last part",
         "none; the file is cut off or not a ZIP archive");
  }

  Directory read_end(std::uint64_t at) const {
    const bool zip64 = u16(at + 8) == kMany16 || u16(at + 10) == kMany16 || u32(at + 12) == kMany32 ||
                       u32(at + 16) == kMany32;
    if (zip64) return read_end64(at);
    if (u16(at + 4) != 0 || u16(at + 6) != 0 || u16(at + 8) != u16(at + 10)) refuse_parts(at);
    return directory(at, at, u32(at + 16), u32(at + 12), u16(at + 10));
  }

  Directory read_end64(std::uint64_t end) const {
    if (end < kLocator64Bytes || !is_at(end - kLocator64Bytes, "PK\x06\x07")) {
      fail(end, "a zip64 locator before the end record, which lacks numbers", "none");
    }
    const std::uint64_t locator = end - kLocator64Bytes;
    const std::uint64_t at = u64(locator + 8);
    if (u32(locator + 4) != 0 || u32(locator + 16) != 1) refuse_parts(locator);
    if (!fits(at, kEnd64Bytes, locator) || !is_at(at, "PK\x06\x06")) {
      fail(locator + 8, "the offset of the zip64 end record", std::to_string(at));
    }
    // The record counts from behind its own length, at byte 12.
    if (u64(at + 4) != locator - at - 12) {
      fail(at + 4, fmt::format("a zip64 end record of {} bytes, up to its locator", locator - at - 12),
           std::to_string(u64(at + 4)));
    }
    if (u32(at + 16) != 0 || u32(at + 20) != 0 || u64(at + 24) != u64(at + 32)) refuse_parts(at);
    return directory(at, at, u64(at + 48), u64(at + 40), u64(at + 32));
  }

  [[noreturn]] void refuse_parts(std::uint64_t at) const {
    fail(at, "an archive in one part", "one in several; join them, or save it again with numpy.savez");
  }

  Directory directory(std::uint64_t record, std::uint64_t end, std::uint64_t begin, std::uint64_t count,
                      std::uint64_t members) const {
    if (!fits(begin, count, end) || begin + count != end) {
      fail(record, fmt::format("a central directory that ends at byte {}, where the end record begins", end),
           fmt::format("one of {} bytes at {}", count, begin));
    }
    return {begin, end, members};
  }

  /// Reads the entry at a byte of the central directory; returns where the next begins.
  std::uint64_t read_central(std::uint64_t at, const Directory& directory, ZipMember& member) const {
    if (!fits(at, kCentralBytes, directory.end) || !is_at(at, "PK\x01\x02")) {
      fail(at, "an entry of the central directory", "something else");
    }
    const std::uint64_t name_bytes = u16(at + 28);
    const std::uint64_t extra_bytes = u16(at + 30);
    const std::uint64_t total = kCentralBytes + name_bytes + extra_bytes + u16(at + 32);
    if (!fits(at, total, directory.end)) {
      fail(at, fmt::format("an entry that ends by byte {}", directory.end), fmt::format("{} bytes", total));
    }
    const std::uint16_t flags = u16(at + 8);
    const std::uint16_t method = u16(at + 10);
    member.name = std::string(text(at + kCentralBytes, name_bytes));
    if (member.name.empty()) fail(at, "a member with a name", "none");
    if (member.name.find('\0') != std::string::npos) {
      fail(at + kCentralBytes, "a name without a zero byte", quoted(member.name));
    }
    check_kind(at, flags, method, member.name);
    member.deflated = method == kDeflate;
    member.crc = u32(at + 16);
    member.packed = u32(at + 20);
    member.bytes = u32(at + 24);
    member.header = u32(at + 42);
    std::uint64_t disk = u16(at + 34);
    read_zip64(at, kCentralBytes + name_bytes, extra_bytes, member, disk);
    if (disk != 0) refuse_parts(at);
    check_sizes(at, member);
    read_local(flags, method, directory, member);
    return at + total;
  }

  void check_kind(std::uint64_t at, std::uint16_t flags, std::uint16_t method,
                  const std::string& name) const {
    if ((flags & kEncrypted) != 0) {
      fail(at, "a member that is not encrypted", quoted(name) + ", which is; unpack it and name the folder");
    }
    if ((flags & kPatch) != 0) fail(at, "a member that is whole", quoted(name) + ", which is a patch");
    if (method != kStored && method != kDeflate) {
      fail(at + 10, fmt::format("member {} stored or deflated", quoted(name)),
           method_name(method) + "; save it again with numpy.savez or numpy.savez_compressed");
    }
  }

  /// Takes from the zip64 field what the entry itself has no room for, in the order of the format.
  void read_zip64(std::uint64_t at, std::uint64_t extra, std::uint64_t extra_bytes, ZipMember& member,
                  std::uint64_t& disk) const {
    const auto field = find_extra(at + extra, extra_bytes);
    std::uint64_t begin = field ? field->first : 0;
    std::uint64_t left = field ? field->second : 0;
    const auto take = [&](std::uint64_t& value, std::uint64_t many, std::size_t count, const char* what) {
      if (value != many) return;
      if (left < count) {
        fail(at, fmt::format("the {} of member {} in a zip64 field", what, quoted(member.name)), "none");
      }
      value = number(begin, count);
      begin += count;
      left -= count;
    };
    take(member.bytes, kMany32, 8, "size");
    take(member.packed, kMany32, 8, "packed size");
    take(member.header, kMany32, 8, "offset");
    take(disk, kMany16, 4, "part");
  }

  /// The zip64 field among extra fields, as (offset, bytes).
  std::optional<std::pair<std::uint64_t, std::uint64_t>> find_extra(std::uint64_t at,
                                                                    std::uint64_t bytes) const {
    const std::uint64_t end = at + bytes;
    while (fits(at, 4, end) && fits(at + 4, u16(at + 2), end)) {
      if (u16(at) == kZip64Field) return std::pair(at + 4, std::uint64_t{u16(at + 2)});
      at += 4 + u16(at + 2);
    }
    return std::nullopt;
  }

  void check_sizes(std::uint64_t at, const ZipMember& member) const {
    if (!member.deflated && member.packed != member.bytes) {
      fail(at, fmt::format("{} bytes stored for member {}", member.bytes, quoted(member.name)),
           std::to_string(member.packed));
    }
    if (member.deflated && member.bytes / kMostUnpackedPerByte > member.packed) {
      fail(at,
           fmt::format("member {} to unpack to at most {} times its {} bytes", quoted(member.name),
                       kMostUnpackedPerByte, member.packed),
           fmt::format("a size of {}", member.bytes));
    }
  }

  /// Holds the member's own header against its entry and finds its data.
  void read_local(std::uint16_t flags, std::uint16_t method, const Directory& directory,
                  ZipMember& member) const {
    const std::uint64_t at = member.header;
    if (!fits(at, kLocalBytes, directory.begin) || !is_at(at, kZipMember)) {
      fail(std::min(at, size()), "the header of member " + quoted(member.name), "something else");
    }
    const std::uint64_t name_bytes = u16(at + 26);
    const std::uint64_t extra_bytes = u16(at + 28);
    member.offset = at + kLocalBytes + name_bytes + extra_bytes;
    if (!fits(member.offset, member.packed, directory.begin)) {
      fail(at,
           fmt::format("member {} to end by byte {}, where the central directory begins", quoted(member.name),
                       directory.begin),
           fmt::format("{} bytes at {}", member.packed, member.offset));
    }
    if (text(at + kLocalBytes, name_bytes) != member.name) {
      fail(at + kLocalBytes, "the name " + quoted(member.name) + ", as in the central directory",
           quoted(text(at + kLocalBytes, name_bytes)));
    }
    const std::string as_listed =
        fmt::format(" of member {}, as in the central directory", quoted(member.name));
    if (u16(at + 8) != method || ((u16(at + 6) ^ flags) & (kEncrypted | kPatch | kSizesFollow)) != 0) {
      fail(at + 6, "the method and the flags" + as_listed, "others");
    }
    if ((flags & kSizesFollow) != 0) return;  // here they are zero
    if (u32(at + 14) != member.crc) fail(at + 14, "the checksum" + as_listed, "another");
    std::uint64_t packed = u32(at + 18);
    std::uint64_t bytes = u32(at + 22);
    const auto field = find_extra(at + kLocalBytes + name_bytes, extra_bytes);
    if (field && field->second >= 16 && (packed == kMany32 || bytes == kMany32)) {
      bytes = u64(field->first);
      packed = u64(field->first + 8);
    }
    if (packed != member.packed || bytes != member.bytes) {
      fail(at + 18, fmt::format("the sizes {} and {}{}", member.packed, member.bytes, as_listed),
           fmt::format("{} and {}", packed, bytes));
    }
  }

  /// Bytes that belong to two members are what makes small archives unpack without end.
  void check_overlaps(const std::vector<ZipMember>& members) const {
    std::uint64_t end = 0;
    const ZipMember* before = nullptr;
    for (const ZipMember& member : members) {
      if (member.header < end) {
        fail(member.header,
             fmt::format("member {} behind the end of {} at byte {}", quoted(member.name),
                         quoted(before->name), end),
             fmt::format("an overlap of {} bytes", end - member.header));
      }
      end = member.offset + member.packed;
      before = &member;
    }
  }

  std::span<const std::byte> bytes_;
  const std::string& file_;
};

}  // namespace

std::vector<ZipMember> parse_zip(std::span<const std::byte> bytes, const std::string& file) {
  return ZipReader(bytes, file).read();
}

}  // namespace millrace::tool
