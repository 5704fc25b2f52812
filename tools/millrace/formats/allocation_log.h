// What a program allocated and freed, as its allocator logged it: the events of RMM's CSV logs and of
// PyTorch's memory snapshots in one form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace millrace::tool {

enum class LogAction : std::uint8_t { allocate, release };

/// One event that a replay repeats.
struct LogEvent {
  LogAction action = LogAction::allocate;
  std::uint32_t thread = 0;   ///< index in AllocationLog::threads
  std::uint32_t stream = 0;   ///< index in AllocationLog::streams
  std::uint64_t number = 0;   ///< among all entries of the log, from 1
  std::uint64_t address = 0;  ///< what tells blocks apart; never 0
  std::uint64_t bytes = 0;    ///< as asked for; below kMaxLoggedSize
  std::uint64_t at = 0;       ///< where the file says so, in bytes
};

/// Larger than any memory, and small enough that sums of a file's worth of them can be checked.
inline constexpr std::uint64_t kMaxLoggedSize = std::uint64_t{1} << 48U;

struct AllocationLog {
  std::string path;
  std::string name;                    ///< the path, and which device of a snapshot with several
  std::string format;                  ///< "RMM CSV", "PyTorch pickle" or "PyTorch JSON"
  std::uint64_t entries = 0;           ///< in the log, those that are not replayed among them
  std::uint64_t failures = 0;          ///< entries that say that the logged program ran out of memory
  std::vector<std::uint64_t> threads;  ///< what the log calls each; 0 where it names none
  std::vector<std::uint64_t> streams;  ///< what the log calls each
  std::vector<LogEvent> events;        ///< in the order of the log
};

/// Numbers names in the order in which they appear.
class NameList {
 public:
  std::uint32_t index_of(std::uint64_t name) {
    const auto [found, is_new] = indices_.try_emplace(name, static_cast<std::uint32_t>(names_.size()));
    if (is_new) names_.push_back(name);
    return found->second;
  }
  std::vector<std::uint64_t> take() {
    indices_.clear();
    return std::move(names_);
  }

 private:
  std::unordered_map<std::uint64_t, std::uint32_t> indices_;
  std::vector<std::uint64_t> names_;
};

/// Reads a log, its format told by its content; a PyTorch snapshot is one log a device that has events. At
/// least one log, each with at least one entry. Throws FileFormatError.
std::vector<AllocationLog> read_allocation_logs(const std::string& path);

/// The same for the content of a file. file: for errors and names.
///
/// Thread safety: a pure function; bytes must not change meanwhile.
std::vector<AllocationLog> parse_allocation_logs(std::span<const std::byte> bytes, const std::string& file);

}  // namespace millrace::tool
