// The .npy reader: what it takes, and every way of being wrong that it must see.
#include "formats/npy.h"

#include <string>

#include "format_support.h"

namespace millrace::tool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TensorEntry parse(const std::string& content) {
  const std::vector<std::byte> bytes = bytes_of(content);
  return parse_npy(bytes, "folder/weights.npy");
}

Refusal refused(const std::string& content) {
  return refusal_of([&] { parse(content); });
}

Refusal refused(std::string_view header, std::size_t data_bytes) {
  return refused(npy_file(header, data_bytes));
}

TEST(Npy, ReadsWhatNumPyWrites) {
  const TensorEntry tensor =
      parse(npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }              \n", 48));
  EXPECT_EQ(tensor.name, "weights");
  EXPECT_EQ(tensor.dtype, DType::f32);
  EXPECT_THAT(tensor.shape, ElementsAre(3, 4));
  EXPECT_FALSE(tensor.fortran_order);
  EXPECT_EQ(tensor.bytes, 48U);
}

TEST(Npy, ReadsOtherSpellings) {
  EXPECT_THAT(parse(npy_file("{'shape':(),'fortran_order':True,\"descr\":\"|u1\"}", 1)).shape, IsEmpty());
  EXPECT_TRUE(parse(npy_file("{'shape':(2,),'fortran_order':True,'descr':'f8'}", 16)).fortran_order);
  EXPECT_THAT(parse(npy_file("{'descr': '<i2', 'fortran_order': False, 'shape': (5L, 0L), }\n", 0)).shape,
              ElementsAre(5, 0));
  // One byte has no order.
  EXPECT_EQ(parse(npy_file("{'descr': '>i1', 'fortran_order': False, 'shape': (1,), }\n", 1)).dtype,
            DType::i8);
}

TEST(Npy, ReadsVersions2And3) {
  const std::string header = "{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }\n";
  for (const char version : {'\x02', '\x03'}) {
    const std::string file =
        "\x93NUMPY" + std::string{version, '\0'} + little_endian(header.size(), 4) + header + "\x01";
    EXPECT_EQ(parse(file + '\0').dtype, DType::boolean);
  }
}

TEST(Npy, ReadsEveryElementType) {
  const std::pair<const char*, DType> kAll[] = {
      {"<f8", DType::f64}, {"<f4", DType::f32}, {"<f2", DType::f16},
      {"<i8", DType::i64}, {"<i4", DType::i32}, {"<i2", DType::i16},
      {"|i1", DType::i8},  {"|u1", DType::u8},  {"|b1", DType::boolean}};
  for (const auto& [descr, dtype] : kAll) {
    const std::string header =
        "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (3,), }";
    EXPECT_EQ(parse(npy_file(header, 3 * size_of(dtype))).dtype, dtype) << descr;
  }
}

TEST(Npy, RefusesWhatIsNoNpyFile) {
  EXPECT_THAT(refused("NUMPY").message, HasSubstr("the magic"));
  EXPECT_THAT(refused("\x93NUM").message, HasSubstr("the magic"));
  EXPECT_THAT(refused("\x93NUMPY\x01").message,
              HasSubstr("expected a format version, found the end of the file"));
  EXPECT_THAT(refused(std::string("\x93NUMPY\x04\0\0\0\0\0", 12)).message,
              HasSubstr("version 1, 2 or 3, found 4"));
  EXPECT_THAT(refused(std::string("\x93NUMPY\x01\0\0", 9)).message, HasSubstr("2 bytes of header length"));
  EXPECT_THAT(refused(std::string("\x93NUMPY\x02\0\0\0", 10)).message, HasSubstr("4 bytes of header length"));
}

TEST(Npy, RefusesAHeaderPastTheEnd) {
  EXPECT_THAT(refused(std::string("\x93NUMPY\x01\0\xff\xff", 10) + "{}").message,
              HasSubstr("at most 2 bytes, found a header length of 65535"));
  EXPECT_THAT(refused(std::string("\x93NUMPY\x02\0\xff\xff\xff\xff", 12)).message,
              HasSubstr("a header length of 4294967295"));
}

TEST(Npy, RefusesAHeaderOfTheWrongForm) {
  EXPECT_THAT(refused("", 0).message, HasSubstr("a Python dict, found the end of the header"));
  EXPECT_THAT(refused("[]", 0).message, HasSubstr("a Python dict"));
  EXPECT_THAT(refused("{descr}", 0).message, HasSubstr("a key in quotes"));
  EXPECT_THAT(refused("{'descr", 0).message, HasSubstr("the end of the string"));
  EXPECT_THAT(refused("{'descr' '<f4'}", 0).message, HasSubstr("a colon"));
  EXPECT_THAT(refused("{'descr': '<f4' 'shape'}", 0).message, HasSubstr("a comma or the end of the dict"));
  EXPECT_THAT(refused("{'descr': '<f4', 'fortran_order': 1}", 0).message, HasSubstr("True or False"));
  EXPECT_THAT(refused("{'shape': 3}", 0).message, HasSubstr("a tuple"));
  EXPECT_THAT(refused("{'shape': (3 4)}", 0).message, HasSubstr("a comma or the end of the shape"));
  EXPECT_THAT(refused("{'shape': (-3,)}", 0).message, HasSubstr("a whole number"));
  EXPECT_THAT(refused("{'shape': (__import__('os'),)}", 0).message, HasSubstr("a whole number"));
  EXPECT_THAT(refused("{'other': 3}", 0).message, HasSubstr("found 'other'"));
  EXPECT_THAT(refused("{'shape': (), 'shape': ()}", 0).message, HasSubstr("a second 'shape'"));
  EXPECT_THAT(refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4).message,
              HasSubstr("nothing after the dict"));
  EXPECT_THAT(refused("{'descr': '<f4', 'fortran_order': False}", 4).message, HasSubstr("the key 'shape'"));
  EXPECT_THAT(refused("{'shape': " + std::string(10'000, '('), 0).message, HasSubstr("a whole number"));
}

TEST(Npy, RefusesObjectsWithTheReason) {
  EXPECT_THAT(refused("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8).message,
              HasSubstr("an array of objects, which is refused: it is a pickle"));
}

TEST(Npy, RefusesElementTypesThatMillraceHasNot) {
  const auto with = [](const std::string& descr) {
    return refused("{'descr': " + descr + ", 'fortran_order': False, 'shape': (1,), }", 8).message;
  };
  EXPECT_THAT(with("'<c8'"), HasSubstr("NumPy knows and Millrace does not support"));
  EXPECT_THAT(with("'<u4'"), HasSubstr("NumPy knows and Millrace does not support"));
  EXPECT_THAT(with("'<q4'"), HasSubstr("no element type of NumPy"));
  EXPECT_THAT(with("''"), HasSubstr("no element type of NumPy"));
  EXPECT_THAT(with("[('a', '<f4')]"), HasSubstr("a structured type"));
  EXPECT_THAT(with("'>f8'"), HasSubstr("big-endian; save it again with array.astype('<f8')"));
}

TEST(Npy, RefusesAShapeThatIsNotItsBytes) {
  const char* const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";
  EXPECT_THAT(refused(header, 11).message, HasSubstr("expected 12 bytes for f32 [3], found 11"));
  EXPECT_THAT(refused(header, 13).message, HasSubstr("found 13"));
}

TEST(Npy, RefusesAShapeThatOverflows) {
  EXPECT_THAT(
      refused("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0).message,
      HasSubstr("whose size fits 63 bits"));
  EXPECT_THAT(
      refused("{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775808,), }", 0).message,
      HasSubstr("a dimension below 2^63"));
  std::string ones;
  for (std::size_t i = 0; i <= kMaxRank; ++i) ones += "1,";
  EXPECT_THAT(refused("{'descr': '|u1', 'fortran_order': False, 'shape': (" + ones + "), }", 1).message,
              HasSubstr("at most 64 dimensions"));
}

}  // namespace
}  // namespace millrace::tool
