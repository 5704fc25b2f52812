// The peer's process: absent for a reason, asked, and ended.
#include "bench/python_peer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace millrace::tool {
namespace {

using nlohmann::json;

/// An executable script, gone with the test.
class Interpreter {
 public:
  explicit Interpreter(const std::string& script) {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-peer-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
    std::ofstream(path()) << "#!/bin/sh\n" << script;
    std::filesystem::permissions(path(), std::filesystem::perms::owner_all);
  }
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;
  ~Interpreter() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_ + "/interpreter"; }

 private:
  std::string path_;
};

TEST(BenchPythonPeer, AnAbsentOneSaysWhy) {
  PythonPeer none(kNumpyPeer, {});
  EXPECT_FALSE(none.present());
  EXPECT_EQ(none.description(), "absent: not asked for");
  EXPECT_EQ(none.ask({{"do", "small"}}), std::nullopt);

  EXPECT_EQ(PythonPeer(kNumpyPeer, {"/nowhere/python"}).description(),
            "absent: /nowhere/python: No such file or directory");
  EXPECT_EQ(PythonPeer(kNumpyPeer, {"/bin/false", "/nowhere/python"}).description(),
            "absent: /bin/false: ended without a word; /nowhere/python: No such file or directory");
  EXPECT_EQ(PythonPeer(kNumpyPeer, {"/bin/echo"}).description(), "absent: /bin/echo: ended without a word");

  const Interpreter without(R"(echo '{"absent": "ModuleNotFoundError: none here"}')");
  EXPECT_EQ(PythonPeer(kNumpyPeer, {without.path()}).description(),
            "absent: " + without.path() + ": ModuleNotFoundError: none here");
}

TEST(BenchPythonPeer, TheFirstInterpreterThatHasItIsTaken) {
  const Interpreter one(R"(echo '{"numpy": "9.9", "python": "8.8"}'; read line; echo '{"seconds": 2}')");
  PythonPeer peer(kNumpyPeer, {"/nowhere/python", one.path()});
  ASSERT_TRUE(peer.present());
  EXPECT_EQ(peer.description(), "NumPy 9.9, Python 8.8");
  EXPECT_EQ(peer.ask({{"do", "anything"}}), json({{"seconds", 2}}));
}

TEST(BenchPythonPeer, EachScriptSaysWhatItHas) {
  const Interpreter one(R"(echo '{"torch": "7.7 on a GPU", "python": "8.8"}'; read line)");
  EXPECT_EQ(PythonPeer(kTorchPeer, {one.path()}).description(), "PyTorch 7.7 on a GPU, Python 8.8");
  EXPECT_FALSE(PythonPeer(kNumpyPeer, {one.path()}).present()) << "that is another library";
}

TEST(BenchPythonPeer, ItsEndAndItsErrorsMakeItAbsent) {
  const Interpreter ends(R"(echo '{"numpy": "9.9", "python": "8.8"}'; read line)");
  PythonPeer peer(kNumpyPeer, {ends.path()});
  EXPECT_EQ(peer.ask({{"do", "anything"}}), std::nullopt);
  EXPECT_EQ(peer.description(), "absent: it ended while it worked");
  EXPECT_EQ(peer.ask({{"do", "anything"}}), std::nullopt);

  const Interpreter fails(
      R"(echo '{"numpy": "9.9", "python": "8.8"}'; read line; echo '{"error": "MemoryError: all gone"}'; read line)");
  PythonPeer failing(kNumpyPeer, {fails.path()});
  EXPECT_EQ(failing.ask({{"do", "anything"}}), std::nullopt);
  EXPECT_EQ(failing.description(), "absent: MemoryError: all gone");
}

TEST(BenchPythonPeer, OneThatIsBusyDoesNotKeepUsWaiting) {
  const Interpreter busy(R"(echo '{"numpy": "9.9", "python": "8.8"}'; exec sleep 600)");
  const PythonPeer peer(kNumpyPeer, {busy.path()});
  EXPECT_TRUE(peer.present());
}

TEST(BenchPythonPeer, TheScriptReducesWhatItIsAskedTo) {
  PythonPeer peer(kNumpyPeer, PythonPeer::usual_interpreters());
  if (!peer.present()) GTEST_SKIP() << peer.description();
  const auto answer = peer.ask({{"do", "reduce"},
                                {"dtype", "f32"},
                                {"elements", 100},
                                {"op", "max with index"},
                                {"shape", {4, 25}},
                                {"axes", {1}}});
  ASSERT_TRUE(answer) << peer.description();
  ASSERT_EQ(answer->at("checks").size(), 2U);
  EXPECT_GT(answer->at("checks")[0], 4);  // four maxima from 1 up
  EXPECT_LT(answer->at("checks")[0], 8);
  EXPECT_FALSE(peer.ask({{"do", "nonsense"}}));
  EXPECT_EQ(peer.description(), "absent: KeyError: 'nonsense'");
}

}  // namespace
}  // namespace millrace::tool
