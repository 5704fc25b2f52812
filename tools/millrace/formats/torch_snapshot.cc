#include "formats/torch_snapshot.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "formats/file_format_error.h"
#include "formats/json_tree.h"
#include "formats/pickle_reader.h"
#include "formats/value_tree.h"

namespace millrace::tool {
namespace {

using Index = ValueTree::Index;

/// What is logged beside allocations and frees, and not replayed.
constexpr std::string_view kOtherActions[] = {"free_completed", "segment_alloc", "segment_free",
                                              "segment_map",    "segment_unmap", "snapshot"};

/// More than PyTorch writes. A pickle can name one dict again and again, and each time it is looked through.
constexpr std::uint64_t kMaxKeys = 64;

class SnapshotReader {
 public:
  SnapshotReader(const std::string& file, const ValueTree& tree, std::string format)
      : file_(file), tree_(tree), format_(std::move(format)) {}

  std::vector<AllocationLog> read(Index root) {
    if (tree_.kind(root) != ValueKind::dict)
      fail(root, "a dict with device_traces", to_string(tree_.kind(root)));
    const Index traces = tree_.find(root, "device_traces");
    if (traces == ValueTree::kNone) fail(root, "the key device_traces", "none");
    need_list(traces, "a list of traces as device_traces");
    std::uint64_t device = 0;
    tree_.for_each(traces, [&](Index trace) { read_trace(trace, device++); });
    if (logs_.empty()) {
      fail(traces, "events in device_traces",
           "none: torch.cuda.memory._record_memory_history() must run before the allocations");
    }
    if (logs_.size() > 1) {
      for (std::size_t i = 0; i < logs_.size(); ++i) {
        logs_[i].name = fmt::format("{} device {}", file_, devices_[i]);
      }
    }
    return std::move(logs_);
  }

 private:
  [[noreturn]] void fail(Index value, std::string expected, std::string found) const {
    throw FileFormatError(file_, tree_.at(value), std::move(expected), std::move(found));
  }

  void need_list(Index value, const char* expected) const {
    const ValueKind kind = tree_.kind(value);
    if (kind != ValueKind::list && kind != ValueKind::tuple) fail(value, expected, to_string(kind));
  }

  void read_trace(Index trace, std::uint64_t device) {
    need_list(trace, "a list of events as a device's trace");
    AllocationLog log;
    tree_.for_each(trace, [&](Index entry) {
      // A pickle can name one list again and again, in two bytes each.
      if (log.entries == 0 && !seen_.insert(trace).second)
        fail(trace, "each trace once", "the same list again");
      read_entry(log, entry);
    });
    if (log.entries == 0) return;
    log.path = log.name = file_;
    log.format = format_;
    if (!log.events.empty()) log.threads = {0};
    log.streams = streams_.take();
    logs_.push_back(std::move(log));
    devices_.push_back(device);
  }

  /// A number of an entry that must be there.
  std::uint64_t natural(Index entry, std::uint64_t number, std::string_view key) const {
    const Index value = tree_.find(entry, key);
    if (value == ValueTree::kNone) fail(entry, fmt::format("{} in event {}", key, number), "none");
    if (tree_.kind(value) != ValueKind::natural) {
      fail(value, fmt::format("a whole number as {} of event {}", key, number), to_string(tree_.kind(value)));
    }
    return tree_.natural(value);
  }

  std::string_view action_of(Index entry, std::uint64_t number) const {
    const Index action = tree_.find(entry, "action");
    if (action == ValueTree::kNone) fail(entry, fmt::format("action in event {}", number), "none");
    if (tree_.kind(action) != ValueKind::string) {
      fail(action, fmt::format("a string as action of event {}", number), to_string(tree_.kind(action)));
    }
    return tree_.string(action);
  }

  void read_entry(AllocationLog& log, Index entry) {
    const std::uint64_t number = ++log.entries;
    if (tree_.kind(entry) != ValueKind::dict) {
      fail(entry, fmt::format("a dict as event {}", number), to_string(tree_.kind(entry)));
    }
    if (tree_.items(entry) / 2 > kMaxKeys) {
      fail(entry, fmt::format("at most {} keys in event {}", kMaxKeys, number),
           std::to_string(tree_.items(entry) / 2));
    }
    const std::string_view action = action_of(entry, number);
    if (action == "oom") {
      ++log.failures;
      return;
    }
    if (std::ranges::find(kOtherActions, action) != std::end(kOtherActions)) return;
    if (action != "alloc" && action != "free_requested") {
      fail(entry, fmt::format("an action of PyTorch in event {}", number),
           fmt::format("\"{}\"", printable(action)));
    }
    LogEvent event;
    event.action = action == "alloc" ? LogAction::allocate : LogAction::release;
    event.number = number;
    event.address = natural(entry, number, "addr");
    event.bytes = natural(entry, number, "size");
    event.at = tree_.at(entry);
    if (event.address == 0) fail(entry, fmt::format("an address other than 0 in event {}", number), "0");
    if (event.bytes >= kMaxLoggedSize) {
      fail(entry, fmt::format("a size below 2^48 bytes in event {}", number), std::to_string(event.bytes));
    }
    const std::uint64_t stream = natural(entry, number, "stream");
    event.stream = streams_.index_of(stream);
    log.events.push_back(event);
  }

  const std::string& file_;
  const ValueTree& tree_;
  const std::string format_;
  NameList streams_;  // of the trace at hand
  std::unordered_set<Index> seen_;
  std::vector<AllocationLog> logs_;
  std::vector<std::uint64_t> devices_;  // of each log
};

}  // namespace

std::vector<AllocationLog> parse_torch_pickle(std::span<const std::byte> bytes, const std::string& file) {
  const PickledValue pickled = read_pickle(bytes, file);
  return SnapshotReader(file, pickled.tree, "PyTorch pickle").read(pickled.root);
}

std::vector<AllocationLog> parse_torch_json(std::span<const std::byte> bytes, const std::string& file) {
  const JsonValue json = read_json_tree(bytes, file);
  return SnapshotReader(file, json.tree, "PyTorch JSON").read(json.root);
}

}  // namespace millrace::tool
