// Protect mode: who used which bytes last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "device/backend.h"
#include "sync/ref.h"

namespace millrace::host {

/// One operation's use of memory, shared by all the ranges it touches.
struct UseRecord final : sync::RefCounted {
  UseRecord(TimelinePoint at, std::uint64_t seq, std::string name, AccessMode how, SourcePlace where)
      : point(at), sequence(seq), operation(std::move(name)), mode(how), place(where) {}
  const TimelinePoint point;
  const std::uint64_t sequence;
  const std::string operation;
  const AccessMode mode;
  const SourcePlace place;
};

/// For every byte the last write and the last read since of each queue.
///
/// Earlier ones need not be kept: who is ordered after the last use on a queue is ordered after all
/// before it there, and the last write was held against what came before.
///
/// Thread safety: none; Protect's mutex covers it.
class UseHistory {
 public:
  struct Range {
    std::uintptr_t begin = 0, end = 0;
  };

  /// Calls found(record, range) for each earlier use that conflicts with one of this mode.
  template <typename Found>
  void for_each_conflict(Range range, AccessMode mode, Found&& found) const {
    for (auto s = first_overlap(range.begin); s != segments_.end() && s->first < range.end; ++s) {
      const Range common{s->first > range.begin ? s->first : range.begin,
                         s->second.end < range.end ? s->second.end : range.end};
      if (s->second.write) found(*s->second.write, common);
      if (mode == AccessMode::read) continue;
      for (const auto& read : s->second.reads) found(*read, common);
    }
  }

  void add(Range range, const sync::Ref<UseRecord>& use);

  /// Drops the records within the range for which over(point) holds: they can conflict no more.
  template <typename Over>
  void drop(Range range, Over&& over) {
    split(range.begin);
    split(range.end);
    auto s = segments_.lower_bound(range.begin);
    while (s != segments_.end() && s->first < range.end) {
      Segment& segment = s->second;
      if (segment.write && over(segment.write->point)) {
        segment.write = sync::Ref<UseRecord>();  // not {}: in a template clang 14 forgets to end what {} made
      }
      std::erase_if(segment.reads, [&](const auto& read) { return over(read->point); });
      s = !segment.write && segment.reads.empty() ? segments_.erase(s) : std::next(s);
    }
  }

  std::size_t segments() const { return segments_.size(); }

 private:
  struct Segment {
    std::uintptr_t end = 0;
    sync::Ref<UseRecord> write;
    std::vector<sync::Ref<UseRecord>> reads;  // at most one a queue
  };
  using Segments = std::map<std::uintptr_t, Segment>;  // by begin; never overlapping

  /// The first segment that ends behind the address.
  Segments::const_iterator first_overlap(std::uintptr_t address) const;
  /// Makes the address a boundary.
  void split(std::uintptr_t address);

  Segments segments_;
};

}  // namespace millrace::host
