// Deflated data comes out whole, in pieces of any size; what is damaged or lies is seen.
#include "formats/inflate.h"

#include <random>
#include <string>

#include "zip_support.h"

namespace millrace::tool {
namespace {

using ::testing::HasSubstr;

/// Some of it packs well and some not at all.
std::string content_of(std::size_t size) {
  std::mt19937 random(7);
  std::string content(size, 'x');
  for (std::size_t i = 0; i < size; ++i) {
    if (i / 1000 % 2 == 0) content[i] = static_cast<char>(random() & 0xFFU);
  }
  return content;
}

Deflated packed_as(const std::string& packed, const std::string& content) {
  return {0, packed.size(), content.size(), 0, checksum(content)};
}

Refusal refused(const std::string& packed, const Deflated& claim) {
  return refusal_of([&] {
    const std::vector<std::byte> bytes = bytes_of(packed);
    InflateReader reader(bytes, claim, "weights.npz", "a.npy");
    std::vector<std::byte> piece(512);
    while (reader.left() > 0) {
      reader.read(
          std::span(piece).first(static_cast<std::size_t>(std::min<std::uint64_t>(512, reader.left()))));
    }
  });
}

TEST(InflateReader, GivesTheBytesInPiecesOfAnySize) {
  const std::string content = content_of(100'000);
  const std::string packed = "before" + deflated(content) + "behind";
  const std::vector<std::byte> file = bytes_of(packed);
  for (const std::size_t piece : {1U, 7U, 4096U, 99'999U, 100'000U}) {
    InflateReader reader(file, {6, packed.size() - 12, content.size(), 0, checksum(content)}, "f", "a");
    std::string read;
    while (reader.left() > 0) {
      std::string next(static_cast<std::size_t>(std::min<std::uint64_t>(piece, reader.left())), '\0');
      reader.read(std::as_writable_bytes(std::span(next)));
      read += next;
    }
    EXPECT_EQ(read, content) << "in pieces of " << piece;
  }
}

TEST(InflateReader, LeavesOutTheHeaderOfATensor) {
  const std::string content = content_of(20'000);
  const std::string packed = deflated(content);
  const std::vector<std::byte> file = bytes_of(packed);
  TensorEntry tensor;
  tensor.bytes = content.size() - 9'000;
  tensor.deflated = Deflated{0, packed.size(), content.size(), 9'000, checksum(content)};
  InflateReader reader(file, tensor, "f");
  std::string read(tensor.bytes, '\0');
  reader.read(std::as_writable_bytes(std::span(read)));
  EXPECT_EQ(read, content.substr(9'000));
}

TEST(InflateReader, SeesAnotherChecksum) {
  const std::string content = content_of(3'000);
  const std::string packed = deflated(content);
  Deflated claim = packed_as(packed, content);
  claim.crc ^= 1;
  EXPECT_THAT(refused(packed, claim).message, HasSubstr("expected the checksum "));
  EXPECT_THAT(refused(packed, claim).message, HasSubstr("; the file is damaged"));
}

TEST(InflateReader, SeesAnotherSize) {
  const std::string content = content_of(3'000);
  const std::string packed = deflated(content);
  Deflated claim = packed_as(packed, content);
  claim.unpacked = 2'999;
  EXPECT_THAT(refused(packed, claim).message, HasSubstr("\"a.npy\" to unpack to 2999 bytes, found more"));
  claim.unpacked = 0;
  EXPECT_THAT(refused(packed, claim).message, HasSubstr("to unpack to 0 bytes, found more"));
  claim.unpacked = std::uint64_t{1} << 60U;
  EXPECT_THAT(refused(packed, claim).message, HasSubstr("found the end of the data after 3000"));
}

TEST(InflateReader, SeesDataThatEndsEarlyOrLate) {
  const std::string content = content_of(3'000);
  const std::string packed = deflated(content);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, packed.size() / 2, packed.size() - 1}) {
    EXPECT_THAT(refused(packed.substr(0, size), packed_as(packed.substr(0, size), content)).message,
                HasSubstr("the end of its " + std::to_string(size) + " bytes"));
  }
  EXPECT_THAT(refused(packed + "xy", packed_as(packed + "xy", content)).message,
              HasSubstr("expected the end of \"a.npy\", found 2 bytes behind its data"));
}

TEST(InflateReader, SeesDamage) {
  const std::string content = content_of(3'000);
  std::string packed = deflated(content);
  packed[0] = '\x07';  // a last block of the kind that does not exist
  const Refusal refusal = refused(packed, packed_as(packed, content));
  EXPECT_THAT(refusal.message, HasSubstr("deflated data of \"a.npy\", found damage: invalid block type"));
  ASSERT_TRUE(refusal.offset);
  EXPECT_LT(*refusal.offset, 8U);
  for (std::size_t at = 0; at < packed.size(); at += 5) {
    std::string damaged = deflated(content);
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    EXPECT_NE(refused(damaged, packed_as(damaged, content)).message, "(accepted)") << "at byte " << at;
  }
}

TEST(InflateReader, StreamsWhatUnpacksToFarMoreThanItIs) {
  const std::string content(64U << 20U, '\0');
  const std::string packed = deflated(content);
  ASSERT_LT(packed.size(), 100'000U);
  EXPECT_EQ(refused(packed, packed_as(packed, content)).message, "(accepted)");
}

}  // namespace
}  // namespace millrace::tool
