// Finding files, telling formats apart, and refusing the rest by name.
#include "formats/tensor_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <limits>
#include <string>

#include "formats/mapped_file.h"
#include "zip_support.h"

namespace millrace::tool {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kTensors = safetensors_file(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", 3);
const std::string kArray = npy_file("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n", 2);

Refusal refused(const std::string& path) {
  return refusal_of([&] { read_tensor_list(path); });
}

TEST(TensorFile, ReadsEveryFormat) {
  const TemporaryFolder folder;
  const TensorFile tensors = read_tensor_list(folder.file("t.safetensors", kTensors));
  ASSERT_EQ(tensors.tensors.size(), 1U);
  EXPECT_EQ(tensors.tensors[0].name, "a");
  EXPECT_EQ(tensors.identity.size, kTensors.size());
  EXPECT_EQ(read_tensor_list(folder.file("x.NPY", kArray)).tensors[0].name, "x");
  EXPECT_EQ(read_tensor_list(folder.file("array.dat", kArray)).tensors[0].bytes, 2U);
  EXPECT_EQ(read_tensor_list(folder.file("x.NPZ", zip_file({{"y.npy", kArray}}))).tensors[0].name, "y");
}

TEST(TensorFile, RefusesAnEmptyFile) {
  const TemporaryFolder folder;
  EXPECT_THAT(refused(folder.file("empty.safetensors", "")).message, HasSubstr("an empty file"));
  EXPECT_THAT(refused(folder.file("empty.npy", "")).message, HasSubstr("an empty file"));
}

TEST(TensorFile, RefusesPicklesWithTheReason) {
  const TemporaryFolder folder;
  const std::string zip("PK\x03\x04\x00\x00\x08\x08", 8);
  for (const char* const name : {"model.pt", "pytorch_model.bin", "m.pth", "m.ckpt", "m.pkl"}) {
    EXPECT_THAT(refused(folder.file(name, zip)).message,
                HasSubstr("a pickle, which is refused: loading one runs"))
        << name;
  }
  EXPECT_THAT(refused(folder.file("p.dat", "\x80\x04\x95\x10")).message, HasSubstr("a pickle"));
  EXPECT_THAT(refused(folder.file("renamed.safetensors", zip)).message, HasSubstr("a pickle"));
  EXPECT_THAT(refused(folder.file("old.safetensors", "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9")).message,
              HasSubstr("a pickle"));
}

TEST(TensorFile, RefusesOtherFormats) {
  const TemporaryFolder folder;
  EXPECT_THAT(refused(folder.file("a.zip", "PK\x03\x04")).message,
              HasSubstr("a zip archive; unpack it and name the folder, or call it .npz"));
  EXPECT_THAT(refused(folder.file("pytorch_model.bin.index.json", "{}")).message,
              HasSubstr("an index of files each of which is a pickle, which is refused"));
  EXPECT_THAT(refused(folder.file("config.json", "{}")).message, HasSubstr("the unknown extension .json"));
  EXPECT_THAT(refused(folder.file("a.gguf", "GGUF")).message, HasSubstr("the unknown extension .gguf"));
  EXPECT_THAT(refused(folder.file("README", "x")).message, HasSubstr("no known format"));
}

TEST(TensorFile, RefusesWhatIsNoRegularFile) {
  const TemporaryFolder folder;
  EXPECT_THAT(refused(folder.path()).message, HasSubstr("a folder"));
  EXPECT_THAT(refused(folder.path("absent.npy")).message, HasSubstr("No such file"));
  ASSERT_EQ(::mkfifo(folder.path("pipe.npy").c_str(), 0600), 0);
  EXPECT_THAT(refused(folder.path("pipe.npy")).message, HasSubstr("a pipe"));
}

TEST(TensorFile, FindsFilesBelowFoldersInOrder) {
  const TemporaryFolder folder;
  folder.file("b.safetensors", kTensors);
  folder.file("a/z.npy", kArray);
  folder.file("a/z.npz", zip_file({}));
  folder.file("a/m.safetensors.index.json", "{}");
  folder.file("a/b/c.safetensors", kTensors);
  folder.file("readme.txt", "x");
  const std::string given = folder.file("given.dat", kArray);
  EXPECT_THAT(find_tensor_files({given, folder.path()}),
              ElementsAre(given, EndsWith("a/b/c.safetensors"), EndsWith("a/m.safetensors.index.json"),
                          EndsWith("a/z.npy"), EndsWith("a/z.npz"), EndsWith("b.safetensors")));
}

TEST(TensorFile, FollowsLinksToFiles) {
  const TemporaryFolder folder;
  folder.file("blobs/1234", kTensors);
  std::filesystem::create_directory(folder.path("snapshot"));
  std::filesystem::create_symlink("../blobs/1234", folder.path("snapshot/model.safetensors"));
  const auto files = find_tensor_files({folder.path("snapshot")});
  ASSERT_THAT(files, ElementsAre(EndsWith("model.safetensors")));
  EXPECT_EQ(read_tensor_list(files[0]).tensors.size(), 1U);
}

TEST(TensorFile, RefusesFoldersWithoutTensors) {
  const TemporaryFolder folder;
  const auto message = [&] { return refusal_of([&] { find_tensor_files({folder.path()}); }).message; };
  EXPECT_THAT(message(), HasSubstr("none among 0 files"));
  folder.file("sub/pytorch_model.bin", "x");
  EXPECT_THAT(message(), HasSubstr("none among 1 files (pytorch_model.bin is a pickle"));
}

TEST(TensorFile, RefusesAPathThatDoesNotExist) {
  EXPECT_THAT(refusal_of([] { find_tensor_files({"/nonexistent/x"}); }).message,
              HasSubstr("/nonexistent/x: expected a file or a folder, found nothing of that name"));
}

TEST(TensorFile, CountsBytesWithoutOverflow) {
  const auto bytes = [](std::vector<std::int64_t> shape, std::size_t size) {
    return checked_bytes(shape, size);
  };
  EXPECT_EQ(bytes({}, 4), 4U);
  EXPECT_EQ(bytes({3, 0, 5}, 8), 0U);
  EXPECT_EQ(bytes({std::int64_t{1} << 62}, 1), std::uint64_t{1} << 62U);
  EXPECT_EQ(bytes({std::int64_t{1} << 62}, 2), std::nullopt);
  EXPECT_EQ(bytes({std::int64_t{1} << 62, 4}, 1), std::nullopt);
  EXPECT_EQ(bytes({-1}, 1), std::nullopt);
}

TEST(MappedFile, NoticesThatAFileWasReplaced) {
  const TemporaryFolder folder;
  const std::string path = folder.file("t.npy", kArray);
  const FileIdentity before = MappedFile(path).identity();
  EXPECT_EQ(MappedFile(path, before).bytes().size(), kArray.size());
  folder.file("t.npy", kArray + "x");
  EXPECT_THAT(refusal_of([&] { MappedFile(path, before); }).message,
              HasSubstr("a file that was changed since"));
}

TEST(Printable, LeavesTextAndDisarmsTheRest) {
  EXPECT_EQ(printable("layer.0.weight"), "layer.0.weight");
  EXPECT_EQ(printable("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(printable("a\nb\x1b[0m\x7f"), "a\\x0ab\\x1b[0m\\x7f");
  EXPECT_EQ(printable("\xff\xc0\xaf\xed\xa0\x80"), "\\xff\\xc0\\xaf\\xed\\xa0\\x80");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b") << "a C1 control: terminals take it for ESC [";
  EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82") << "cut off in the middle";
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace millrace::tool
