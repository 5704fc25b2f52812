// What a verification round is about: the sources, and the one digest that stands for them.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace millrace::tool {

/// The list of the sources, below the source tree's root: a line each a file or folder, or with "!" before it
/// one that does not count; "!*.md" leaves out all files that end so, "#" begins a comment.
inline constexpr const char* kSourceList = "verify/sources.txt";

/// The sources as they are now.
///
/// Thread safety: as a value.
class Sources {
 public:
  /// Reads the list and every file that it names. Files of editors, of version control and of Python's cache
  /// are left out. Throws std::runtime_error when one can't be read, or the list names what does not exist.
  explicit Sources(const std::filesystem::path& root);
  /// From a manifest; throws std::runtime_error when it is none.
  static Sources from_manifest(const std::string& text);

  /// 64 hexadecimal digits: the SHA-256 of the manifest.
  std::string digest() const;
  /// As `sha256sum` writes it and `sha256sum -c` reads it, sorted by path.
  std::string manifest() const;
  /// Paths below the root, and the digest of each.
  const std::map<std::string, std::string>& files() const noexcept { return files_; }

 private:
  Sources() = default;
  std::map<std::string, std::string> files_;
};

/// The nearest folder that holds the list of sources: from here upwards, or else from the running program
/// upwards. Throws UsageError when there is none.
std::filesystem::path find_source_root();

/// The digest of the sources that this program was built from; empty if the build could not be sure.
std::string built_from();

}  // namespace millrace::tool
