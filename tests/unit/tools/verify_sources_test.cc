// What counts as a source, and the digest that stands for all of them.
#include <gmock/gmock.h>

#include "verify/sha256.h"
#include "verify_support.h"

namespace millrace::tool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;

TEST(Sha256, IsTheStandardsOne) {
  // FIPS 180-4's examples.
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_THROW(sha256_of_file("/none/such"), std::runtime_error);
}

TEST(Sources, AreWhatTheListNames) {
  const SourceTree tree;
  EXPECT_THAT(Sources(tree.root()).files(),
              ElementsAre(Key("build.txt"), Key("src/a.cc"), Key("src/deep/b.h"), Key("verify/sources.txt")));
}

TEST(Sources, WhatDoesNotCountChangesNoDigest) {
  const SourceTree tree;
  const std::string before = tree.digest();
  for (const char* path :
       {"src/README.md", "src/left_out/c.h", "src/left_out/new.h", "docs/page.md", "src/.a.cc.swp",
        "src/a.cc.orig", "src/a.cc~", "src/__pycache__/b.pyc", "other.txt"}) {
    tree.write(path, "something else");
    EXPECT_EQ(tree.digest(), before) << path;
  }
}

TEST(Sources, WhatCountsChangesTheDigest) {
  const SourceTree tree;
  std::string before = tree.digest();
  const auto changed = [&] {
    const std::string now = tree.digest();
    return std::exchange(before, now) != now;
  };
  tree.write("src/a.cc", "int aa;");
  EXPECT_TRUE(changed()) << "content";
  tree.write("src/new.cc", "");
  EXPECT_TRUE(changed()) << "a file more";
  std::filesystem::rename(tree.root() / "src/new.cc", tree.root() / "src/newer.cc");
  EXPECT_TRUE(changed()) << "a name";
  std::filesystem::remove(tree.root() / "src/newer.cc");
  EXPECT_TRUE(changed()) << "a file less";
  tree.write("verify/sources.txt", tree.read("verify/sources.txt") + "# a word more\n");
  EXPECT_TRUE(changed()) << "the list itself";
  EXPECT_FALSE(changed());
}

TEST(Sources, TheManifestIsWhatSha256sumReads) {
  const SourceTree tree;
  const std::string manifest = Sources(tree.root()).manifest();
  EXPECT_THAT(manifest, HasSubstr(sha256("int a;") + "  src/a.cc\n"));
  EXPECT_EQ(tree.digest(), sha256(manifest));
  EXPECT_EQ(Sources::from_manifest(manifest).digest(), tree.digest());
  EXPECT_THROW(Sources::from_manifest("nonsense\n"), std::runtime_error);
}

TEST(Sources, AListThatNamesWhatIsNotThereIsAnError) {
  const SourceTree tree;
  tree.write("verify/sources.txt", "src\nnone\n");
  try {
    tree.digest();
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("verify/sources.txt names none"));
  }
}

}  // namespace
}  // namespace millrace::tool
