// The .safetensors reader: what it takes, and every way of being wrong that it must see.
#include "formats/safetensors.h"

#include <string>

#include "format_support.h"

namespace millrace::tool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<TensorEntry> parse(const std::string& content) {
  const std::vector<std::byte> bytes = bytes_of(content);
  return parse_safetensors(bytes, "f.safetensors");
}

std::vector<TensorEntry> parse(std::string_view header, std::size_t data_bytes) {
  return parse(safetensors_file(header, data_bytes));
}

Refusal refused(std::string_view header, std::size_t data_bytes) {
  return refusal_of([&] { parse(header, data_bytes); });
}

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirBytes) {
  const auto tensors =
      parse(R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]},)"
            R"("a":{"data_offsets":[0,4],"shape":[2],"dtype":"BF16"}}  )",
            28);
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_EQ(tensors[0].dtype, DType::bf16);
  EXPECT_THAT(tensors[0].shape, ElementsAre(2));
  EXPECT_EQ(tensors[0].bytes, 4U);
  EXPECT_EQ(tensors[1].name, "b");
  EXPECT_THAT(tensors[1].shape, ElementsAre(2, 3));
  EXPECT_EQ(tensors[1].offset, tensors[0].offset + 4);
  EXPECT_EQ(tensors[1].elements(), 6U);
}

TEST(Safetensors, ReadsScalarsAndEmptyTensors) {
  const auto tensors = parse(R"({"none":{"dtype":"I64","shape":[0,5],"data_offsets":[0,0]},)"
                             R"("one":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
                             R"("last":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}})",
                             8);
  ASSERT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors[0].name, "none");
  EXPECT_EQ(tensors[1].elements(), 1U);
  EXPECT_EQ(tensors[2].name, "last");
}

TEST(Safetensors, ReadsAFileWithoutTensors) {
  EXPECT_TRUE(parse("{}", 0).empty());
}

TEST(Safetensors, ReadsEveryElementType) {
  const std::pair<const char*, DType> kAll[] = {
      {"F64", DType::f64}, {"F32", DType::f32},     {"F16", DType::f16}, {"BF16", DType::bf16},
      {"I64", DType::i64}, {"I32", DType::i32},     {"I16", DType::i16}, {"I8", DType::i8},
      {"U8", DType::u8},   {"BOOL", DType::boolean}};
  for (const auto& [name, dtype] : kAll) {
    const std::string end = std::to_string(3 * size_of(dtype));
    const auto tensors =
        parse(R"({"x":{"dtype":")" + std::string(name) + R"(","shape":[3],"data_offsets":[0,)" + end + "]}}",
              3 * size_of(dtype));
    ASSERT_EQ(tensors.size(), 1U) << name;
    EXPECT_EQ(tensors[0].dtype, dtype) << name;
  }
}

TEST(Safetensors, KeepsNamesAsTheyAre) {
  const auto tensors = parse(R"({"a\n\u00e9\"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
  EXPECT_EQ(tensors[0].name, "a\n\xc3\xa9\"");
}

TEST(Safetensors, RefusesAFileShorterThanItsLength) {
  EXPECT_THAT(refusal_of([] { parse(std::string("\x10\0\0", 3)); }).message,
              HasSubstr("expected 8 bytes of header length, found a file of 3"));
}

TEST(Safetensors, RefusesAHeaderPastTheEnd) {
  for (const std::uint64_t length : {std::uint64_t{3}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    const Refusal refusal = refusal_of([&] { parse(little_endian(length, 8) + "{}"); });
    EXPECT_THAT(refusal.message, HasSubstr("at byte 0: expected a header of at most the 2 bytes"));
    EXPECT_THAT(refusal.message, HasSubstr(std::to_string(length)));
  }
}

TEST(Safetensors, RefusesAHeaderThatIsNotAJsonObject) {
  EXPECT_THAT(refused("", 4).message, HasSubstr("an empty header"));
  EXPECT_THAT(refused("[]", 0).message, HasSubstr("begins with {"));
  EXPECT_THAT(refused(" {}", 0).message, HasSubstr("begins with {"));
  EXPECT_THAT(refused("{]", 0).message, HasSubstr("expected a JSON header, found text that is not"));
  EXPECT_THAT(refused("{} x", 0).message, HasSubstr("text that is not"));
  EXPECT_THAT(refused("{", 0).message, HasSubstr("text that is not"));
  EXPECT_THAT(refused("{\"\xff\":{}}", 0).message, HasSubstr("text that is not"));
  EXPECT_EQ(refused("{]", 0).offset, 9U);
}

TEST(Safetensors, RefusesWhatHidesBehindAZeroByte) {
  const Refusal refusal = refused(std::string_view("{}\0 hidden", 10), 0);
  EXPECT_THAT(refusal.message, HasSubstr("a zero byte"));
  EXPECT_EQ(refusal.offset, 10U);
}

TEST(Safetensors, RefusesNestingWithoutEnd) {
  const std::string arrays = "{\"a\":" + std::string(1'000'000, '[');
  EXPECT_THAT(refused(arrays, 0).message, HasSubstr("an array"));
  std::string objects = "{";
  for (int i = 0; i < 200'000; ++i) objects += "\"a\":{";
  EXPECT_THAT(refused(objects, 0).message, HasSubstr("expected dtype, shape or data_offsets"));
  EXPECT_THAT(refused(R"({"__metadata__":{"a":{"b":{}}}})", 0).message,
              HasSubstr("strings in __metadata__, found an object"));
  EXPECT_THAT(refused(R"({"a":{"shape":[[[[1]]]]}})", 0).message, HasSubstr("found an array"));
}

TEST(Safetensors, RefusesDuplicateKeys) {
  const char* const one = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_THAT(refused(std::string("{") + one + "," + one + "}", 1).message, HasSubstr("a second \"a\""));
  EXPECT_THAT(refused(R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1).message,
              HasSubstr("a second dtype"));
  EXPECT_THAT(refused(R"({"a":{"shape":[],"shape":[1],"dtype":"U8","data_offsets":[0,1]}})", 1).message,
              HasSubstr("a second shape"));
  EXPECT_THAT(refused(R"({"a":{"data_offsets":[0,1],"data_offsets":[0,1]}})", 1).message,
              HasSubstr("a second data_offsets"));
  EXPECT_THAT(refused(R"({"__metadata__":{"k":"1","k":"2"}})", 0).message, HasSubstr("a second \"k\""));
}

TEST(Safetensors, RefusesMissingAndUnknownKeys) {
  EXPECT_THAT(refused(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1).message,
              HasSubstr("a dtype of tensor \"a\""));
  EXPECT_THAT(refused(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1).message,
              HasSubstr("a shape of tensor"));
  EXPECT_THAT(refused(R"({"a":{"dtype":"U8","shape":[1]}})", 1).message, HasSubstr("data_offsets of tensor"));
  EXPECT_THAT(refused(R"({"a":{"stride":[1]}})", 1).message, HasSubstr("found \"stride\""));
}

TEST(Safetensors, RefusesValuesOfTheWrongKind) {
  EXPECT_THAT(refused(R"({"a":3})", 0).message, HasSubstr("found 3"));
  EXPECT_THAT(refused(R"({"a":null})", 0).message, HasSubstr("found null"));
  EXPECT_THAT(refused(R"({"a":{"dtype":8}})", 0).message, HasSubstr("a string as dtype"));
  EXPECT_THAT(refused(R"({"a":{"shape":"x"}})", 0).message, HasSubstr("an array of whole numbers as shape"));
  EXPECT_THAT(refused(R"({"a":{"shape":[-1]}})", 0).message, HasSubstr("found -1"));
  EXPECT_THAT(refused(R"({"a":{"shape":[1.5]}})", 0).message, HasSubstr("found 1.5"));
  EXPECT_THAT(refused(R"({"a":{"shape":[1e3]}})", 0).message, HasSubstr("found 1e3"));
  EXPECT_THAT(refused(R"({"a":{"shape":[true]}})", 0).message, HasSubstr("found true"));
  EXPECT_THAT(refused(R"({"a":{"data_offsets":[0]}})", 0).message, HasSubstr("found 1"));
  EXPECT_THAT(refused(R"({"a":{"data_offsets":[0,1,2]}})", 0).message, HasSubstr("a third"));
  EXPECT_THAT(refused(R"({"__metadata__":[]})", 0).message, HasSubstr("an object as __metadata__"));
  EXPECT_THAT(refused(R"({"__metadata__":{"n":1}})", 0).message, HasSubstr("strings in __metadata__"));
}

TEST(Safetensors, RefusesAnUnknownElementType) {
  EXPECT_THAT(refused(R"({"a":{"dtype":"Q7","shape":[1],"data_offsets":[0,1]}})", 1).message,
              HasSubstr("Q7, which is no dtype of safetensors"));
  EXPECT_THAT(refused(R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", 1).message,
              HasSubstr("which safetensors knows and Millrace does not support"));
}

TEST(Safetensors, RefusesOffsetsOutOfRange) {
  EXPECT_THAT(refused(R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]}})", 4).message,
              HasSubstr("within the 4 bytes of data, found [0, 5]"));
  EXPECT_THAT(refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[3,2]}})", 4).message,
              HasSubstr("[3, 2]"));
  EXPECT_THAT(
      refused(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551615,18446744073709551615]}})", 4)
          .message,
      HasSubstr("within the 4 bytes"));
  EXPECT_THAT(
      refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551616]}})", 4).message,
      HasSubstr("found 18446744073709551616"));
}

TEST(Safetensors, RefusesOverlapsAndHoles) {
  EXPECT_THAT(refused(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                      R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
                      4)
                  .message,
              HasSubstr("an overlap of 1 bytes"));
  EXPECT_THAT(refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                      R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
                      4)
                  .message,
              HasSubstr("a hole of 1 bytes"));
  EXPECT_THAT(refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 4).message,
              HasSubstr("expected the end of the file after the last tensor, found 2 more bytes"));
  EXPECT_THAT(refused("{}", 1).message, HasSubstr("1 more bytes"));
}

TEST(Safetensors, RefusesAShapeThatIsNotItsBytes) {
  EXPECT_THAT(refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4).message,
              HasSubstr("expected 8 bytes of tensor \"a\" for F32 [2], found 4 in data_offsets"));
}

TEST(Safetensors, RefusesAShapeThatOverflows) {
  // 2^32 * 2^32 wraps to 0, which is what the offsets claim.
  EXPECT_THAT(
      refused(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0).message,
      HasSubstr("whose size fits 63 bits"));
  EXPECT_THAT(
      refused(R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0).message,
      HasSubstr("whose size fits 63 bits"));
  EXPECT_THAT(
      refused(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,0]}})", 0).message,
      HasSubstr("a dimension below 2^62"));
}

TEST(Safetensors, RefusesTooManyDimensions) {
  std::string ones = "1";
  for (std::size_t i = 0; i < kMaxRank; ++i) ones += ",1";
  EXPECT_THAT(refused(R"({"a":{"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1]}})", 1).message,
              HasSubstr("at most 64 dimensions"));
}

TEST(Safetensors, SaysNamesInOneHarmlessLine) {
  const Refusal refusal = refused(R"({"\u001b[31m\nx":{"dtype":"Q7","shape":[],"data_offsets":[0,0]}})", 0);
  EXPECT_THAT(refusal.message, HasSubstr("\"\\x1b[31m\\x0ax\""));
}

}  // namespace
}  // namespace millrace::tool
