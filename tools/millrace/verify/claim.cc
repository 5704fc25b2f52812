// Who runs a round in a ledger's folder, and what a round leaves that was killed.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <fmt/format.h>

#include "json_output.h"
#include "verify/ledger.h"
#include "verify/sha256.h"

namespace millrace::tool {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kNote = "in-progress.json";
constexpr int kTries = 20;
constexpr std::chrono::milliseconds kPause{25};

[[noreturn]] void fail(const char* what, const fs::path& path) {
  throw std::runtime_error(
      fmt::format("cannot {} {}: {}", what, path.string(), std::generic_category().message(errno)));
}

int open_folder(const fs::path& folder) {
  return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/// What a note says of a round that has no line in the ledger.
std::optional<Round> round_left(const fs::path& path, const Ledger& ledger) {
  if (!fs::exists(path)) return std::nullopt;
  Round round;
  round.number = ledger.next_number();
  round.interrupted = true;
  const Json note = Json::parse(read_file(path), nullptr, false);
  if (!note.is_object()) return round;  // also of a round that nothing is known of
  // It has its line, and was killed before it could take the note away.
  if (note.value("round", round.number) < round.number) return std::nullopt;
  round.date = note.value("date", "");
  round.sources = note.value("sources", "");
  round.binary = {note.value("binary", ""), note.value("built", ""), note.value("built_from", ""),
                  note.value("compiler", "")};
  round.host = {note.value("cpu", ""), note.value("cores", 0U)};
  return round;
}

}  // namespace

Claim::Claim(const fs::path& folder) : note_(folder / kNote) {
  std::error_code error;
  fs::create_directories(folder, error);
  folder_ = open_folder(folder);
  if (folder_ < 0) fail("open the ledger's folder", folder);
  // Whoever asks how the rounds stand has it for a moment.
  for (int tries = 0; tries < kTries; ++tries) {
    if (::flock(folder_, LOCK_EX | LOCK_NB) == 0) return;
    std::this_thread::sleep_for(kPause);
  }
  ::close(folder_);
  throw std::runtime_error(
      fmt::format("another process has a round in progress in {}: wait for it, or name another --ledger",
                  folder.string()));
}

Claim::~Claim() {
  ::close(folder_);
}

std::optional<Round> Claim::cut_off(const Ledger& ledger) const {
  return round_left(note_, ledger);
}

void Claim::begin(const Round& round) const {
  write_whole(note_, json_text({{"round", round.number},
                                {"date", round.date},
                                {"sources", round.sources},
                                {"binary", round.binary.digest},
                                {"built", round.binary.built},
                                {"built_from", round.binary.sources},
                                {"compiler", round.binary.compiler},
                                {"cpu", round.host.cpu},
                                {"cores", round.host.cores}}) +
                         "\n");
}

void Claim::end() const {
  fs::remove(note_);
}

Standing standing_of(const Ledger& ledger, const std::string& sources) {
  Standing standing;
  standing.streaks = ledger.streaks(sources);
  const int descriptor = open_folder(ledger.folder());
  if (descriptor < 0) return standing;
  standing.in_progress = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0;
  standing.cut_off = !standing.in_progress && round_left(ledger.folder() / kNote, ledger);
  ::close(descriptor);
  if (standing.cut_off) standing.streaks = {};
  return standing;
}

void write_whole(const fs::path& path, const std::string& text) {
  const fs::path partial = path.string() + ".partial";
  std::FILE* const file = std::fopen(partial.c_str(), "we");
  if (file == nullptr) fail("write", partial);
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size() &&
                       std::fflush(file) == 0 && ::fsync(::fileno(file)) == 0;
  const int error = errno;
  if (std::fclose(file) != 0 || !written) {
    errno = written ? errno : error;
    fail("write all of", partial);
  }
  if (std::rename(partial.c_str(), path.c_str()) != 0) fail("replace", path);
}

}  // namespace millrace::tool
