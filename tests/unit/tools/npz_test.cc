// The .npz reader: what it takes, and every way of being wrong that it must see.
#include "formats/npz.h"

#include <string>

#include "formats/inflate.h"
#include "zip_support.h"

namespace millrace::tool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<TensorEntry> parse(const std::string& content) {
  const std::vector<std::byte> bytes = bytes_of(content);
  return parse_npz(bytes, "weights.npz");
}

Refusal refused(const std::string& content) {
  return refusal_of([&] { parse(content); });
}

std::string elements_of(const std::string& file, const TensorEntry& tensor) {
  if (!tensor.deflated) return file.substr(tensor.offset, tensor.bytes);
  const std::vector<std::byte> bytes = bytes_of(file);
  InflateReader reader(bytes, tensor, "weights.npz");
  std::string elements(tensor.bytes, '\0');
  reader.read(std::as_writable_bytes(std::span(elements)));
  return elements;
}

const std::string kContent = "the elements of an array, which are bytes, bytes, bytes, bytes";
const std::string kArray = byte_array(kContent);

std::vector<std::string> names_of(const std::vector<TensorEntry>& tensors) {
  std::vector<std::string> names;
  for (const TensorEntry& tensor : tensors) names.push_back(tensor.name);
  return names;
}

TEST(Npz, ReadsStoredMembersInPlace) {
  const std::string file = zip_file({{"a.npy", kArray}, {"layer/b.npy", byte_array("xyz")}});
  const auto tensors = parse(file);
  EXPECT_THAT(names_of(tensors), ElementsAre("a", "layer/b"));
  EXPECT_EQ(tensors[0].dtype, DType::u8);
  EXPECT_FALSE(tensors[0].deflated);
  EXPECT_EQ(elements_of(file, tensors[0]), kContent);
  EXPECT_EQ(elements_of(file, tensors[1]), "xyz");
}

TEST(Npz, ReadsDeflatedMembers) {
  const std::string file = zip_file(
      {{"stored.npy", byte_array("abc")}, {"a.npy", kArray, true}, {"none.npy", byte_array(""), true}});
  const auto tensors = parse(file);
  ASSERT_EQ(tensors.size(), 3U);
  ASSERT_TRUE(tensors[1].deflated);
  EXPECT_EQ(tensors[1].bytes, kContent.size());
  EXPECT_EQ(tensors[1].deflated->unpacked, kArray.size());
  EXPECT_EQ(tensors[1].deflated->skip, kArray.size() - kContent.size());
  EXPECT_EQ(elements_of(file, tensors[1]), kContent);
  EXPECT_EQ(tensors[2].bytes, 0U);
}

TEST(Npz, ReadsEveryFormOfAnArchive) {
  for (const bool zip64 : {false, true}) {
    for (const bool reversed : {false, true}) {
      for (const bool sizes_follow : {false, true}) {
        SCOPED_TRACE(testing::Message() << zip64 << reversed << sizes_follow);
        const std::string file = zip_file(
            {{"a.npy", kArray, true, sizes_follow}, {"b.npy", kArray, false, sizes_follow}, {"folder/", ""}},
            {zip64, reversed});
        const auto tensors = parse(file);
        ASSERT_THAT(names_of(tensors), ElementsAre("a", "b")) << "in the order of their bytes";
        EXPECT_EQ(elements_of(file, tensors[0]), kContent);
        EXPECT_EQ(elements_of(file, tensors[1]), kContent);
      }
    }
  }
}

TEST(Npz, ReadsArchivesWithoutMembersAndWithComments) {
  EXPECT_TRUE(parse(zip_file({})).empty());
  EXPECT_EQ(parse(patched(zip_file({{"a.npy", kArray}}), kEndRecord, 20, 5, 2) + "hello").size(), 1U);
}

TEST(Npz, RefusesAnArchiveThatIsCutOffAnywhere) {
  const std::string file = zip_file({{"a.npy", kArray, true}, {"b.npy", kArray}});
  for (std::size_t size = 1; size < file.size(); ++size) {
    ASSERT_NE(refused(file.substr(0, size)).message, "(accepted)") << size << " of " << file.size();
  }
  EXPECT_THAT(refused("PK").message, HasSubstr("expected a ZIP archive, found a file of 2 bytes"));
  EXPECT_THAT(refused(file.substr(0, 100)).message, HasSubstr("the file is cut off or not a ZIP archive"));
  EXPECT_THAT(refused(file + "x").message, HasSubstr("the end record"));
}

TEST(Npz, RefusesEncryptedMembers) {
  for (const std::uint64_t flag : {1U, 1U << 6U, 1U << 13U}) {
    EXPECT_THAT(refused(patched(zip_file({{"a.npy", kArray}}), kCentralHeader, 8, flag, 2)).message,
                HasSubstr("not encrypted, found \"a.npy\", which is; unpack it"));
  }
}

TEST(Npz, RefusesOtherMethods) {
  const std::string file = zip_file({{"a.npy", kArray}});
  EXPECT_THAT(refused(patched(file, kCentralHeader, 10, 12, 2)).message,
              HasSubstr("member \"a.npy\" stored or deflated, found method 12 (bzip2); save it again with"));
  EXPECT_THAT(refused(patched(file, kCentralHeader, 10, 14, 2)).message, HasSubstr("method 14 (LZMA)"));
  EXPECT_THAT(refused(patched(file, kCentralHeader, 10, 77, 2)).message, HasSubstr("found method 77;"));
  EXPECT_THAT(refused(patched(file, kCentralHeader, 8, 1U << 5U, 2)).message, HasSubstr("a patch"));
}

TEST(Npz, RefusesMembersThatOverlap) {
  // The classic bomb: many entries for the same bytes. Here two headers, one within the other's data.
  const std::string inner = zip_file({{"b.npy", kArray}});
  const std::string local = inner.substr(0, inner.find(kCentralHeader));
  const std::string outer = zip_file({{"a.npy", byte_array(local)}, {"b.npy", kArray}});
  std::string file = outer;
  const std::size_t second = file.rfind(kCentralHeader);
  file.replace(second + 42, 4, little_endian(file.find(kLocalHeader, 4), 4));
  const Refusal refusal = refused(file);
  EXPECT_THAT(refusal.message, HasSubstr("member \"b.npy\" behind the end of \"a.npy\" at byte "));
  EXPECT_THAT(refusal.message, HasSubstr("an overlap of "));
  EXPECT_EQ(refusal.offset, file.find(kLocalHeader, 4));
}

TEST(Npz, RefusesSizesThatLie) {
  const std::string stored = zip_file({{"a.npy", kArray}});
  EXPECT_THAT(refused(patched(stored, kCentralHeader, 24, 7, 4)).message,
              HasSubstr("expected 7 bytes stored for member \"a.npy\", found"));
  const std::string longer =
      patched(patched(stored, kCentralHeader, 20, 1000, 4), kCentralHeader, 24, 1000, 4);
  EXPECT_THAT(refused(longer).message, HasSubstr("where the central directory begins, found 1000 bytes at"));
  const std::string shorter = patched(patched(stored, kCentralHeader, 20, 90, 4), kCentralHeader, 24, 90, 4);
  EXPECT_THAT(refused(shorter).message, HasSubstr("the sizes 90 and 90 of member \"a.npy\""));

  const std::string packed = zip_file({{"a.npy", kArray, true}});
  EXPECT_THAT(refused(patched(packed, kCentralHeader, 24, 0x7FFFFFFF, 4)).message,
              HasSubstr("at most 1032 times its"));
  EXPECT_THAT(refused(patched(packed, kCentralHeader, 16, 1, 4)).message,
              HasSubstr("the checksum of member"));
  // One byte more, said everywhere: then the array itself shows it.
  const std::string both = patched(patched(packed, kCentralHeader, 24, kArray.size() + 1, 4), kLocalHeader,
                                   22, kArray.size() + 1, 4);
  EXPECT_THAT(refused(both).message, HasSubstr("(member \"a.npy\", byte"));
}

TEST(Npz, RefusesNumbersThatZip64DoesNotHold) {
  const std::string file = zip_file({{"a.npy", kArray}});
  EXPECT_THAT(refused(patched(file, kCentralHeader, 24, 0xFFFFFFFF, 4)).message,
              HasSubstr("the size of member \"a.npy\" in a zip64 field, found none"));
  EXPECT_THAT(refused(patched(file, kCentralHeader, 42, 0xFFFFFFFF, 4)).message,
              HasSubstr("the offset of member"));
  EXPECT_THAT(refused(patched(file, kEndRecord, 10, 0xFFFF, 2)).message, HasSubstr("a zip64 locator"));
  const std::string large = zip_file({{"a.npy", kArray}}, {.zip64 = true});
  EXPECT_THAT(refused(patched(large, "PK\x06\x07", 8, ~std::uint64_t{0}, 8)).message,
              HasSubstr("the offset of the zip64 end record, found 18446744073709551615"));
  EXPECT_THAT(refused(patched(large, "PK\x06\x06", 4, 1000, 8)).message,
              HasSubstr("a zip64 end record of 44 bytes, up to its locator, found 1000"));
  EXPECT_THAT(refused(patched(large, "PK\x06\x06", 48, ~std::uint64_t{0} - 10, 8)).message,
              HasSubstr("a central directory that ends at byte"));
  EXPECT_THAT(refused(patched(large, "PK\x06\x06", 40, ~std::uint64_t{0}, 8)).message,
              HasSubstr("a central directory that ends at byte"));
}

TEST(Npz, RefusesDuplicateNames) {
  EXPECT_THAT(refused(zip_file({{"a.npy", kArray}, {"b.npy", kArray}, {"a.npy", kArray}})).message,
              HasSubstr("each member once, found a second \"a.npy\""));
}

TEST(Npz, RefusesMembersThatAreNoNpy) {
  EXPECT_THAT(refused(zip_file({{"a.npy", kArray}, {"notes.txt", "hello"}})).message,
              HasSubstr("only .npy members in a .npz file, found \"notes.txt\"; take it out with `zip -d`"));
  EXPECT_THAT(refused(zip_file({{"model/data.pkl", "\x80\x02}q."}})).message,
              HasSubstr("\"model/data.pkl\", a pickle, which is refused: loading one runs"));
  EXPECT_THAT(refused(zip_file({{"folder.npy/", "content"}})).message,
              HasSubstr("\"folder.npy/\"; take it out"));
  const Refusal refusal = refused(zip_file({{"a.npy", "hello, I am no array"}}));
  EXPECT_THAT(refusal.message, HasSubstr("the magic \\x93NUMPY of a .npy file (member \"a.npy\")"));
  EXPECT_EQ(refusal.offset, 35U);
  EXPECT_THAT(refused(zip_file({{"a.npy", ""}})).message, HasSubstr("the magic"));
  EXPECT_THAT(refused(zip_file({{"a.npy", "", true}})).message, HasSubstr("the magic"));
}

TEST(Npz, RefusesWhatTheNpyReaderRefuses) {
  const std::string objects = npy_file("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8);
  const std::string cut = byte_array("abc").substr(0, kArray.size() - kContent.size() - 20);
  for (const bool deflate : {false, true}) {
    EXPECT_THAT(refused(zip_file({{"o.npy", objects, deflate}})).message,
                HasSubstr("'|O', an array of objects, which is refused"));
    EXPECT_THAT(refused(zip_file({{"c.npy", cut, deflate}})).message, HasSubstr("(member \"c.npy\""));
    EXPECT_THAT(refused(zip_file({{"x.npy", byte_array("abc") + "more", deflate}})).message,
                HasSubstr("3 bytes for u8 [3]"));
  }
  // A header far longer than what is unpacked of the rest.
  const std::string padded =
      "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }" + std::string(60'000, ' ');
  EXPECT_EQ(parse(zip_file({{"p.npy", npy_file(padded, 2), true}}))[0].bytes, 2U);
}

TEST(Npz, RefusesNamesThatTwoReadersReadDifferently) {
  EXPECT_THAT(refused(zip_file({{std::string("a.npy\0b.npy", 11), kArray}})).message,
              HasSubstr("a name without a zero byte"));
  EXPECT_THAT(refused(zip_file({{"", kArray}})).message, HasSubstr("a member with a name"));
  std::string file = zip_file({{"a.npy", kArray}});
  file.replace(file.find("a.npy"), 1, "b");
  EXPECT_THAT(refused(file).message,
              HasSubstr("the name \"a.npy\", as in the central directory, found \"b.npy\""));
}

TEST(Npz, RefusesADirectoryThatIsNotWhereItSays) {
  const std::string file = zip_file({{"a.npy", kArray}});
  EXPECT_THAT(refused(patched(file, kEndRecord, 16, 3, 4)).message,
              HasSubstr("a central directory that ends at byte"));
  EXPECT_THAT(refused("prefix" + file).message, HasSubstr("a central directory that ends at byte"));
  EXPECT_THAT(refused(patched(patched(file, kEndRecord, 8, 2, 2), kEndRecord, 10, 2, 2)).message,
              HasSubstr("2 members, as the end record says, found 1"));
  EXPECT_THAT(refused(patched(file, kEndRecord, 4, 1, 2)).message, HasSubstr("an archive in one part"));
  EXPECT_THAT(refused(patched(file, kCentralHeader, 34, 1, 2)).message, HasSubstr("an archive in one part"));
  EXPECT_THAT(refused(patched(file, kCentralHeader, 42, 9, 4)).message,
              HasSubstr("the header of member \"a.npy\""));
  EXPECT_THAT(refused(patched(file, kCentralHeader, 28, 5000, 2)).message,
              HasSubstr("an entry that ends by byte"));
  EXPECT_THAT(refused(patched(file, kCentralHeader, 0, 0, 4)).message,
              HasSubstr("an entry of the central directory"));
  EXPECT_THAT(refused(patched(file, kLocalHeader, 8, 8, 2)).message, HasSubstr("the method and the flags"));
}

}  // namespace
}  // namespace millrace::tool
