// A small source tree and rounds of it, for the tests of verify.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "format_support.h"
#include "verify/round.h"
#include "verify/sources.h"

namespace millrace::tool {

/// Sources in a folder of their own: src/a.cc, src/deep/b.h, and what does not count.
class SourceTree {
 public:
  SourceTree() {
    write("verify/sources.txt", "# what counts\nsrc\nbuild.txt\nverify/sources.txt\n!src/left_out\n!*.md\n");
    write("build.txt", "a build file");
    write("src/a.cc", "int a;");
    write("src/deep/b.h", "int b;");
    write("src/left_out/c.h", "int c;");
    write("src/README.md", "words");
    write("src/.a.cc.swp", "an editor's");
    write("src/__pycache__/a.pyc", "Python's");
    write("docs/page.md", "words");
  }
  std::filesystem::path root() const { return std::filesystem::path(folder_.path()); }
  std::string digest() const { return Sources(root()).digest(); }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root() / path).parent_path());
    std::ofstream(root() / path) << text;
  }
  void write_program(const std::string& path, const std::string& text) const {
    write(path, text);
    std::filesystem::permissions(root() / path, std::filesystem::perms::owner_all);
  }
  std::string read(const std::string& path) const {
    std::ifstream in(root() / path);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  TemporaryFolder folder_;
};

/// All attempts clean, in a program built from these sources.
inline Round clean_round(int number, const std::string& sources) {
  Round round;
  round.number = number;
  round.date = "2026-01-01T00:00:00Z";
  round.sources = sources;
  round.binary = {"binary", "2026-01-01T00:00:00Z", sources, "GCC"};
  round.host = {"a CPU", 2};
  for (Attempt& attempt : round.attempts) attempt.outcome = Outcome::clean;
  return round;
}

}  // namespace millrace::tool
