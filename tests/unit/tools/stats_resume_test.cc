// What an interrupted run has written is read back, or refused in one line.
#include "stats_resume.h"

#include <cstring>
#include <limits>

#include "format_support.h"
#include "stats_json.h"

namespace millrace::tool {
namespace {

using ::testing::HasSubstr;

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Two tensors of f64 and one of u8, and what stats says of them.
class StatsResume : public ::testing::Test {
 protected:
  StatsResume() {
    const std::string header = R"({"a":{"dtype":"F64","shape":[3,2],"data_offsets":[0,48]},)"
                               R"("b":{"dtype":"F64","shape":[2],"data_offsets":[48,64]},)"
                               R"("c":{"dtype":"U8","shape":[],"data_offsets":[64,65]}})";
    std::string data(65, '\0');
    const double values[] = {0.1,
                             -0.0,
                             1e-310,
                             3,
                             1.0 / 3,
                             7,
                             std::numeric_limits<double>::max(),
                             std::numeric_limits<double>::max()};
    std::memcpy(data.data(), values, sizeof(values));
    files_.push_back(
        read_tensor_list(folder_.file("a.safetensors", little_endian(header.size(), 8) + header + data)));
  }

  StatsResult run(std::optional<std::int64_t> dim) const {
    StatsOptions options;
    options.channel_dim = dim;
    options.in_place = true;
    return run_stats(device_, files_, options);
  }

  std::string write(const StatsResult& result, std::optional<std::int64_t> dim) const {
    const std::string path = folder_.path("run.json");
    OutputFile out("--json", path);
    write_stats_json(out, files_, result, dim, device_);
    return path;
  }

  /// The message for a document in which one text is replaced by another.
  std::string refusal(const std::string& from, const std::string& to, std::optional<std::int64_t> dim) const {
    std::string text = read(write(run(dim), dim));
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from << " is not in " << text;
    text.replace(at, from.size(), to);
    const std::string path = folder_.file("changed.json", text);
    return refusal_of([&] { read_resume(path, files_, dim); }).message;
  }

  TemporaryFolder folder_;
  Device device_ = Device::create("host");
  std::vector<TensorFile> files_;
};

TEST_F(StatsResume, WhatIsReadBackIsWrittenTheSame) {
  for (const std::optional<std::int64_t> dim :
       {std::optional<std::int64_t>(), std::optional<std::int64_t>(0), std::optional<std::int64_t>(-1)}) {
    StatsResult result = run(dim);
    const std::string before = read(write(result, dim));
    result.tensors = read_resume(folder_.path("run.json"), files_, dim);
    EXPECT_TRUE(result.tensors[0].has_value());
    EXPECT_EQ(result.tensors[1].has_value(), false) << "its sum is past the largest double, so JSON has none";
    EXPECT_TRUE(result.tensors[2].has_value());
    result.tensors[1] = run(dim).tensors[1];
    EXPECT_EQ(read(write(result, dim)), before);
  }
}

TEST_F(StatsResume, MissingRowsAreMissing) {
  StatsResult result = run(std::nullopt);
  result.tensors[0].reset();
  result.interrupted = true;
  const auto known = read_resume(write(result, std::nullopt), files_, std::nullopt);
  EXPECT_FALSE(known[0].has_value());
  EXPECT_TRUE(known[2].has_value());
  EXPECT_THAT(read(folder_.path("run.json")), HasSubstr("\"partial\":true"));
}

TEST_F(StatsResume, ADocumentOfAnotherRunIsRefused) {
  const std::string path = write(run(std::nullopt), std::nullopt);
  EXPECT_THAT(refusal_of([&] { read_resume(path, files_, 0); }).message,
              HasSubstr("expected a run with --channel 0, found a run without --channel"));
  std::vector<TensorFile> other = files_;
  other[0].identity.size = 99;
  EXPECT_THAT(refusal_of([&] { read_resume(path, other, {}); }).message, HasSubstr("with its 99 bytes"));
  other = files_;
  other[0].identity.modified_ns += 1;
  EXPECT_THAT(refusal_of([&] { read_resume(path, other, {}); }).message, HasSubstr("as it was changed last"));
  other = files_;
  other[0].path = "elsewhere";
  EXPECT_THAT(refusal_of([&] { read_resume(path, other, {}); }).message, HasSubstr("a run of elsewhere"));
  other.push_back(other[0]);
  EXPECT_THAT(refusal_of([&] { read_resume(path, other, {}); }).message,
              HasSubstr("a run of 2 files, found 1"));
}

TEST_F(StatsResume, DamagedDocumentsAreRefused) {
  const std::optional<std::int64_t> dim = 0;
  EXPECT_THAT(refusal("{\n", "", dim), HasSubstr("JSON"));
  EXPECT_THAT(refusal("\"tensors\": [", "\"tensors\": [7, ", dim), HasSubstr("a list of objects"));
  EXPECT_THAT(refusal("\"tensors\"", "\"tensor\"", dim), HasSubstr("\"tensors\" of the document"));
  EXPECT_THAT(refusal("\"run\"", "\"ran\"", dim), HasSubstr("\"run\" of the document"));
  EXPECT_THAT(refusal("\"name\":\"a\"", "\"name\":\"z\"", dim),
              HasSubstr("tensors of the files of this run"));
  EXPECT_THAT(refusal("\"name\":\"a\"", "\"name\":\"b\"", dim), HasSubstr("[2] as tensor \"b\""));
  EXPECT_THAT(refusal("\"name\":\"a\"", "\"name\":7", dim), HasSubstr("a string as \"name\""));
  EXPECT_THAT(refusal("\"f64\"", "\"f32\"", dim), HasSubstr("f64 [3, 2] as tensor \"a\""));
  EXPECT_THAT(refusal("\"count\":6", "\"count\":-6", dim), HasSubstr("a count as \"count\""));
  EXPECT_THAT(refusal("\"count\":6", "\"count\":7", dim), HasSubstr("6 elements in tensor \"a\", found 7"));
  EXPECT_THAT(refusal("\"zeros\":1", "\"zeros\":9", dim), HasSubstr("to be among its 6 elements"));
  EXPECT_THAT(refusal("\"absmax\":7.0", "\"absmax\":\"7\"", dim), HasSubstr("a number as \"absmax\""));
  EXPECT_THAT(refusal("\"m2\"", "\"m3\"", dim), HasSubstr("\"m2\" of tensor \"a\""));
  EXPECT_THAT(refusal("\"channels\"", "\"canals\"", dim), HasSubstr("\"channels\" of tensor \"a\""));
  EXPECT_THAT(refusal("\"channels\": [", "\"channels\": [1, ", dim),
              HasSubstr("3 channels in tensor \"a\", found 4"));
  EXPECT_THAT(refusal("\"max\":7.0", "\"max\":1e999", dim), HasSubstr("the JSON of an earlier run"));
  EXPECT_THAT(refusal_of([&] { read_resume(folder_.path("absent"), files_, dim); }).message,
              HasSubstr("a readable file"));
}

TEST_F(StatsResume, ATensorTwiceIsRefused) {
  const std::string path = write(run(std::nullopt), std::nullopt);
  std::string text = read(path);
  const std::size_t begin = text.find('{', 1);
  const std::string row = text.substr(begin, text.find('\n', begin) - begin);
  text.insert(begin, row);
  const std::string twice = folder_.file("twice.json", text);
  EXPECT_THAT(refusal_of([&] { read_resume(twice, files_, {}); }).message,
              HasSubstr("each tensor once, found a second tensor \"a\""));
}

}  // namespace
}  // namespace millrace::tool
