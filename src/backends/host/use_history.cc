#include "backends/host/use_history.h"

#include <algorithm>
#include <iterator>

namespace millrace::host {

UseHistory::Segments::const_iterator UseHistory::first_overlap(std::uintptr_t address) const {
  auto s = segments_.upper_bound(address);
  if (s != segments_.begin() && std::prev(s)->second.end > address) --s;
  return s;
}

void UseHistory::split(std::uintptr_t address) {
  const auto s = first_overlap(address);
  if (s == segments_.end() || s->first >= address) return;
  Segment& left = segments_.find(s->first)->second;
  Segment right = left;
  segments_.emplace(address, std::move(right));
  left.end = address;
}

void UseHistory::add(Range range, const sync::Ref<UseRecord>& use) {
  split(range.begin);
  split(range.end);
  if (use->mode == AccessMode::write) {
    segments_.erase(segments_.lower_bound(range.begin), segments_.lower_bound(range.end));
    segments_.emplace(range.begin, Segment{range.end, use, {}});
    return;
  }
  std::uintptr_t at = range.begin;
  for (auto s = segments_.lower_bound(at); at < range.end; ++s) {
    const std::uintptr_t next = s == segments_.end() ? range.end : std::min(s->first, range.end);
    if (at < next) {
      s = segments_.emplace_hint(s, at, Segment{next, {}, {use}});
    } else {
      std::vector<sync::Ref<UseRecord>>& reads = s->second.reads;
      const auto same = std::find_if(reads.begin(), reads.end(),
                                     [&](const auto& read) { return read->point.queue == use->point.queue; });
      same == reads.end() ? reads.push_back(use) : void(*same = use);
    }
    at = s->second.end;
  }
}

}  // namespace millrace::host
