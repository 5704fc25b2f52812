// ZIP archives made by hand, right ones and such that lie.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format_support.h"

namespace millrace::tool {

inline constexpr std::string_view kLocalHeader = "PK\x03\x04";
inline constexpr std::string_view kCentralHeader = "PK\x01\x02";
inline constexpr std::string_view kEndRecord = "PK\x05\x06";

inline std::string deflated(std::string_view content) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::uint32_t checksum(std::string_view content) {
  return static_cast<std::uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size())));
}

struct ZipPart {
  std::string name;
  std::string content;  // unpacked
  bool deflate = false;
  bool sizes_follow = false;  // as a writer that can't go back has it
};

struct ZipForm {
  bool zip64 = false;     // every number where only zip64 has room for it
  bool reversed = false;  // the central directory against the order of the data
};

/// A whole archive.
inline std::string zip_file(const std::vector<ZipPart>& parts, ZipForm form = {}) {
  const std::string many(4, '\xff');
  std::string file;
  std::vector<std::string> entries;
  for (const ZipPart& part : parts) {
    const std::string data = part.deflate ? deflated(part.content) : part.content;
    const std::string crc = little_endian(checksum(part.content), 4);
    const std::string sizes = little_endian(data.size(), 4) + little_endian(part.content.size(), 4);
    const std::string both = little_endian(part.content.size(), 8) + little_endian(data.size(), 8);
    const std::string kind = little_endian(part.sizes_follow ? 8 : 0, 2) +
                             little_endian(part.deflate ? 8 : 0, 2) + std::string(4, '\0');
    const auto extra = [](const std::string& field) {
      return little_endian(1, 2) + little_endian(field.size(), 2) + field;
    };
    const std::string local_extra = form.zip64 ? extra(both) : "";
    const std::string central_extra = form.zip64 ? extra(both + little_endian(file.size(), 8)) : "";
    entries.push_back(std::string(kCentralHeader) + little_endian(45, 2) + little_endian(45, 2) + kind + crc +
                      (form.zip64 ? many + many : sizes) + little_endian(part.name.size(), 2) +
                      little_endian(central_extra.size(), 2) + std::string(10, '\0') +
                      (form.zip64 ? many : little_endian(file.size(), 4)) + part.name + central_extra);
    file += std::string(kLocalHeader) + little_endian(45, 2) + kind;
    if (part.sizes_follow) {
      file += std::string(12, '\0');
    } else {
      file += crc + (form.zip64 ? many + many : sizes);
    }
    file +=
        little_endian(part.name.size(), 2) + little_endian(local_extra.size(), 2) + part.name + local_extra;
    file += data;
    if (part.sizes_follow) file += "PK\x07\x08" + crc + sizes;
  }
  if (form.reversed) std::ranges::reverse(entries);
  const std::uint64_t begin = file.size();
  for (const std::string& entry : entries) file += entry;
  const std::uint64_t bytes = file.size() - begin;
  if (form.zip64) {
    const std::uint64_t record = file.size();
    file += std::string("PK\x06\x06") + little_endian(44, 8) + little_endian(45, 2) + little_endian(45, 2) +
            std::string(8, '\0') + little_endian(parts.size(), 8) + little_endian(parts.size(), 8) +
            little_endian(bytes, 8) + little_endian(begin, 8);
    file += std::string("PK\x06\x07") + std::string(4, '\0') + little_endian(record, 8) + little_endian(1, 4);
  }
  const std::string count = form.zip64 ? "\xff\xff" : little_endian(parts.size(), 2);
  file += std::string(kEndRecord) + std::string(4, '\0') + count + count;
  file += form.zip64 ? many + many : little_endian(bytes, 4) + little_endian(begin, 4);
  return file + std::string(2, '\0');
}

/// The archive with another number at an offset behind the first (or last) place of a signature.
inline std::string patched(std::string file, std::string_view signature, std::size_t offset,
                           std::uint64_t value, std::size_t bytes) {
  const std::size_t at = signature == kEndRecord ? file.rfind(signature) : file.find(signature);
  file.replace(at + offset, bytes, little_endian(value, bytes));
  return file;
}

/// A .npy file of one dimension of bytes, with this content.
inline std::string byte_array(std::string_view content) {
  return npy_file("{'descr': '|u1', 'fortran_order': False, 'shape': (" + std::to_string(content.size()) +
                      ",), }\n",
                  0) +
         std::string(content);
}

}  // namespace millrace::tool
