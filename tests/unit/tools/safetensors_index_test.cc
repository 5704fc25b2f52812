// Indexes of sharded checkpoints: what they say, and whether the shards say the same.
#include "formats/safetensors_index.h"

#include <filesystem>
#include <string>

#include "format_support.h"

namespace millrace::tool {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::vector<IndexEntry> parse(const std::string& content) {
  const std::vector<std::byte> bytes = bytes_of(content);
  return parse_safetensors_index(bytes, "m.safetensors.index.json");
}

Refusal refused(const std::string& content) {
  return refusal_of([&] { parse(content); });
}

/// An index with this weight_map.
std::string index_of(const std::string& weights) {
  return R"({"metadata":{"total_size":8},"weight_map":{)" + weights + "}}";
}

/// A shard with tensors of one byte.
std::string shard_of(const std::vector<std::string>& names) {
  std::string header;
  for (std::size_t i = 0; i < names.size(); ++i) {
    header += (i > 0 ? ",\"" : "\"") + names[i] + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" +
              std::to_string(i) + "," + std::to_string(i + 1) + "]}";
  }
  return safetensors_file("{" + header + "}", names.size());
}

constexpr const char* kIndex = "model.safetensors.index.json";

/// A right checkpoint of two shards, to be spoiled.
struct Checkpoint {
  Checkpoint() {
    folder.file("model-1.safetensors", shard_of({"b", "a"}));
    folder.file("model-2.safetensors", shard_of({"c"}));
    index(R"("a":"model-1.safetensors","c":"model-2.safetensors","b":"model-1.safetensors")");
  }
  void index(const std::string& weights) const { folder.file(kIndex, index_of(weights)); }
  Refusal refused() const {
    return refusal_of([&] { read_safetensors_index(folder.path(kIndex)); });
  }
  TemporaryFolder folder;
};

std::vector<std::string> names_of(const std::vector<TensorFile>& files) {
  std::vector<std::string> names;
  for (const TensorFile& file : files) {
    for (const TensorEntry& tensor : file.tensors) names.push_back(tensor.name);
  }
  return names;
}

TEST(SafetensorsIndex, ListsTensorsAndShards) {
  const std::string text = R"( {"weight_map": {"a": "x.safetensors", "b\u00e9": "./sub//y.safetensors"},
      "metadata": {"total_size": 8, "more": [1, {"deep": [null, true, -1, 2.5, "s"]}]}, "format": "pt"} )";
  const auto entries = parse(text);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].tensor, "a");
  EXPECT_EQ(entries[0].shard, "x.safetensors");
  EXPECT_EQ(text.substr(entries[0].at - 2, 3), "\"a\"");
  EXPECT_EQ(entries[1].tensor, "b\xc3\xa9");
  EXPECT_EQ(entries[1].shard, "sub/y.safetensors");
}

TEST(SafetensorsIndex, IsKnownByItsName) {
  EXPECT_TRUE(is_safetensors_index_name("a/model.safetensors.index.json"));
  EXPECT_TRUE(is_safetensors_index_name("model.safetensors.index.fp16.json"));
  EXPECT_FALSE(is_safetensors_index_name("pytorch_model.bin.index.json"));
  EXPECT_FALSE(is_safetensors_index_name("model.safetensors"));
  EXPECT_FALSE(is_safetensors_index_name("config.json"));
}

TEST(SafetensorsIndex, RefusesWhatIsNoJsonObject) {
  EXPECT_THAT(refused("hello").message, HasSubstr("expected a JSON object, found text that is not"));
  EXPECT_THAT(refused("{\"weight_map\":{}").message, HasSubstr("text that is not"));
  EXPECT_THAT(refused(index_of(R"("a":"x.safetensors")") + "x").message, HasSubstr("text that is not"));
  EXPECT_THAT(refused("[1]").message, HasSubstr("expected a JSON object, found an array"));
  EXPECT_THAT(refused("3").message, HasSubstr("expected a JSON object, found 3"));
  EXPECT_THAT(refused("\"{}\"").message, HasSubstr("expected a JSON object, found \"{}\""));
  EXPECT_THAT(refused("{\"\xff\":{}}").message, HasSubstr("text that is not"));
  const Refusal zero = refused(std::string("{}\0{", 4));
  EXPECT_THAT(zero.message, HasSubstr("a zero byte"));
  EXPECT_EQ(zero.offset, 2U);
}

TEST(SafetensorsIndex, RefusesAnIndexWithoutTensors) {
  EXPECT_THAT(refused("{}").message, HasSubstr("expected a weight_map, found none"));
  EXPECT_THAT(refused(R"({"metadata":{"weight_map":{"a":"x.safetensors"}}})").message,
              HasSubstr("expected a weight_map, found none"));
  EXPECT_THAT(refused(R"({"weight_map":{}})").message,
              HasSubstr("expected tensors in weight_map, found none"));
}

TEST(SafetensorsIndex, RefusesValuesOfTheWrongKind) {
  EXPECT_THAT(refused(R"({"weight_map":[]})").message, HasSubstr("an object as weight_map, found an array"));
  EXPECT_THAT(refused(R"({"weight_map":"x"})").message, HasSubstr("an object as weight_map, found \"x\""));
  EXPECT_THAT(refused(R"({"weight_map":null})").message, HasSubstr("an object as weight_map, found null"));
  EXPECT_THAT(refused(R"({"metadata":3})").message, HasSubstr("an object as metadata, found 3"));
  EXPECT_THAT(refused(R"({"metadata":[]})").message, HasSubstr("an object as metadata, found an array"));
  EXPECT_THAT(refused(index_of(R"("a":1)")).message,
              HasSubstr("the name of a file as shard of tensor \"a\", found 1"));
  EXPECT_THAT(refused(index_of(R"("a":["x.safetensors"])")).message, HasSubstr("found an array"));
  EXPECT_THAT(refused(index_of(R"("a":{"b":"x.safetensors"})")).message, HasSubstr("found an object"));
  EXPECT_THAT(refused(index_of(R"("a":true)")).message, HasSubstr("found true"));
}

TEST(SafetensorsIndex, RefusesDuplicateKeys) {
  EXPECT_THAT(refused(index_of(R"("a":"x.safetensors","a":"x.safetensors")")).message,
              HasSubstr("each tensor once, found a second \"a\""));
  EXPECT_THAT(refused(R"({"weight_map":{"a":"x.safetensors"},"weight_map":{}})").message,
              HasSubstr("each key once, found a second \"weight_map\""));
}

TEST(SafetensorsIndex, RefusesNestingWithoutEnd) {
  EXPECT_THAT(refused("{\"x\":" + std::string(1'000'000, '[')).message, HasSubstr("nested at most 64 deep"));
  std::string objects = "{\"metadata\":";
  for (int i = 0; i < 200'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(refused(objects).message, HasSubstr("nested at most 64 deep"));
  EXPECT_THAT(refused(std::string(1'000'000, '[')).message, HasSubstr("a JSON object, found an array"));
}

TEST(SafetensorsIndex, RefusesAHugeIndex) {
  const TemporaryFolder folder;
  const std::string path = folder.file(kIndex, "{");
  fs::resize_file(path, kMaxSafetensorsIndex + 1);
  EXPECT_THAT(refusal_of([&] { read_safetensors_index(path); }).message,
              HasSubstr("an index of at most 100000000 bytes, found 100000001"));
}

TEST(SafetensorsIndex, RefusesNamesThatLeaveTheFolder) {
  for (const char* const name :
       {"/etc/x.safetensors", "../x.safetensors", "a/../../x.safetensors", "a/../x.safetensors", ".."}) {
    EXPECT_THAT(refused(index_of(std::string("\"a\":\"") + name + "\"")).message,
                HasSubstr("expected the shard of tensor \"a\" within the index's folder, found \"" +
                          std::string(name)));
  }
  EXPECT_THAT(refused(index_of(R"("a":"x\u0000.safetensors")")).message,
              HasSubstr("without a zero byte, found \"x\\x00.safetensors\""));
}

TEST(SafetensorsIndex, RefusesShardsOfOtherFormats) {
  EXPECT_THAT(refused(index_of(R"("a":"pytorch_model.bin")")).message,
              HasSubstr("\"pytorch_model.bin\", a pickle, which is refused"));
  EXPECT_THAT(refused(index_of(R"("a":"m.safetensors.index.json")")).message,
              HasSubstr("to be a .safetensors file, found \"m.safetensors.index.json\""));
  EXPECT_THAT(refused(index_of(R"("a":"")")).message, HasSubstr("to be a .safetensors file, found \"\""));
  EXPECT_THAT(refused(index_of(R"("a":"x.safetensors/")")).message, HasSubstr("to be a .safetensors file"));
}

TEST(SafetensorsIndex, ReadsShardsInTheOrderOfTheirBytes) {
  const Checkpoint checkpoint;
  const auto files = read_safetensors_index(checkpoint.folder.path(kIndex));
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].path, checkpoint.folder.path("model-1.safetensors"));
  EXPECT_EQ(files[1].path, checkpoint.folder.path("model-2.safetensors"));
  EXPECT_THAT(names_of(files), ElementsAre("b", "a", "c"));
}

TEST(SafetensorsIndex, NamesAShardThatIsMissing) {
  const Checkpoint checkpoint;
  fs::remove(checkpoint.folder.path("model-2.safetensors"));
  EXPECT_THAT(checkpoint.refused().message,
              HasSubstr("expected shard \"model-2.safetensors\" in the folder of the index, found nothing"));
  fs::create_directory(checkpoint.folder.path("model-2.safetensors"));
  EXPECT_THAT(checkpoint.refused().message, HasSubstr("model-2.safetensors: expected a regular file"));
}

TEST(SafetensorsIndex, NamesATensorThatIsNotInItsShard) {
  const Checkpoint checkpoint;
  checkpoint.index(R"("a":"model-1.safetensors","b":"model-1.safetensors","c":"model-2.safetensors",)"
                   R"("d":"model-2.safetensors")");
  EXPECT_THAT(
      checkpoint.refused().message,
      HasSubstr(R"(expected tensor "d" in shard "model-2.safetensors", found no tensor of that name)"));
}

TEST(SafetensorsIndex, NamesATensorThatItDoesNotList) {
  const Checkpoint checkpoint;
  checkpoint.index(R"("a":"model-1.safetensors","c":"model-2.safetensors")");
  const Refusal refusal = checkpoint.refused();
  EXPECT_THAT(refusal.message, HasSubstr("model-1.safetensors at byte"));
  EXPECT_THAT(refusal.message, HasSubstr(R"(found "b", which it does not list)"));
}

TEST(SafetensorsIndex, NamesATensorThatItListsForAnotherShard) {
  const Checkpoint checkpoint;
  checkpoint.index(R"("a":"model-2.safetensors","b":"model-1.safetensors","c":"model-2.safetensors")");
  EXPECT_THAT(checkpoint.refused().message,
              HasSubstr(R"(found "a", which it lists for "model-2.safetensors")"));
}

TEST(SafetensorsIndex, ReportsADamagedShardByItsOwnName) {
  const Checkpoint checkpoint;
  checkpoint.folder.file("model-2.safetensors", "short");
  EXPECT_THAT(checkpoint.refused().message, HasSubstr("model-2.safetensors at byte 0: expected 8 bytes"));
}

TEST(SafetensorsIndex, RefusesAShardThatIsALinkOutOfTheFolder) {
  const Checkpoint checkpoint;
  const TemporaryFolder outside;
  outside.file("other.safetensors", shard_of({"c"}));
  fs::remove(checkpoint.folder.path("model-2.safetensors"));
  fs::create_symlink(outside.path("other.safetensors"), checkpoint.folder.path("model-2.safetensors"));
  EXPECT_THAT(
      checkpoint.refused().message,
      HasSubstr("expected shard \"model-2.safetensors\" within the folder of the index, found a link out"));
  // The same through a folder that is a link.
  fs::create_directory_symlink(outside.path(), checkpoint.folder.path("sub"));
  checkpoint.index(R"("a":"model-1.safetensors","b":"model-1.safetensors","c":"sub/other.safetensors")");
  EXPECT_THAT(checkpoint.refused().message, HasSubstr("found a link out of it, to"));
}

TEST(SafetensorsIndex, ReadsACacheWhereIndexAndShardsAreLinks) {
  const TemporaryFolder cache;
  cache.file("blobs/1", shard_of({"a"}));
  cache.file("blobs/2", index_of(R"("a":"model-1.safetensors")"));
  fs::create_directories(cache.path("snapshots/main"));
  fs::create_symlink("../../blobs/1", cache.path("snapshots/main/model-1.safetensors"));
  fs::create_symlink("../../blobs/2", cache.path(std::string("snapshots/main/") + kIndex));
  EXPECT_THAT(names_of(read_safetensors_index(cache.path(std::string("snapshots/main/") + kIndex))),
              ElementsAre("a"));
  EXPECT_THAT(names_of(read_tensor_lists({cache.path()})), ElementsAre("a"));
}

TEST(SafetensorsIndex, IsTakenForItsShardsInAFolder) {
  const Checkpoint checkpoint;
  checkpoint.folder.file("other.safetensors", shard_of({"z"}));
  for (const std::string& folder : {checkpoint.folder.path(), checkpoint.folder.path() + "//"}) {
    const auto files = read_tensor_lists({folder});
    EXPECT_THAT(names_of(files), ElementsAre("b", "a", "c", "z")) << folder;
  }
  // What is named by itself is read as itself.
  EXPECT_THAT(names_of(read_tensor_lists(
                  {checkpoint.folder.path("model-2.safetensors"), checkpoint.folder.path(kIndex)})),
              ElementsAre("c", "b", "a", "c"));
}

TEST(SafetensorsIndex, IsReadBesideAnother) {
  const Checkpoint checkpoint;
  checkpoint.folder.file("small-1.safetensors", shard_of({"s"}));
  checkpoint.folder.file("small.safetensors.index.json",
                         index_of(R"("s":"small-1.safetensors","c":"model-2.safetensors")"));
  const auto files = read_tensor_lists({checkpoint.folder.path()});
  EXPECT_THAT(names_of(files), ElementsAre("b", "a", "c", "s")) << "a shard of both is taken once";
  EXPECT_THAT(files.back().path, EndsWith("small-1.safetensors"));
}

TEST(SafetensorsIndex, OfAFolderMustBeRight) {
  const Checkpoint checkpoint;
  fs::remove(checkpoint.folder.path("model-1.safetensors"));
  EXPECT_THAT(refusal_of([&] { read_tensor_lists({checkpoint.folder.path()}); }).message,
              HasSubstr("model.safetensors.index.json at byte"));
}

}  // namespace
}  // namespace millrace::tool
