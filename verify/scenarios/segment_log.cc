// Who is told of the memory that comes and goes, and the figures of it.
#include "memory/segment_log.h"

#include <memory>
#include <utility>

#include "at_once.h"
#include "memory/segment_figures.h"
#include "scenario.h"

namespace millrace::verify {
namespace {

/// Plain memory: told by one thread at a time.
struct Last final : MemoryObserver {
  void on_segment(const SegmentChange& change) noexcept override {
    ++changes;
    bytes += change.bytes;
  }
  void on_out_of_memory(const OutOfMemoryReport& report) noexcept override {
    out_of_memory.fetch_add(report.requested, std::memory_order_relaxed);
  }
  int changes = 0;
  std::size_t bytes = 0;
  sync::atomic<std::size_t> out_of_memory{0};
};

void note(SegmentLog& log, std::size_t bytes) {
  log.note(log.make_room(), {.kind = SegmentChange::Kind::gained, .address = nullptr, .bytes = bytes});
}

const Register two_note("segment_log.two_note_and_tell", "N4", [] {
  SegmentLog log;
  const auto last = std::make_shared<Last>();
  log.add_observer(last);
  at_once([&](int me) {
    note(log, me == 0 ? 1 : 2);
    log.tell();
  });
  INTERLEAVE_EXPECT(last->changes == 2 && last->bytes == 3);
});

// Who comes while another one is told is told of what happens from then on.
const Register two_come("segment_log.two_come", "N4", [] {
  SegmentLog log;
  std::shared_ptr<Last> told[] = {std::make_shared<Last>(), std::make_shared<Last>()};
  at_once([&](int me) {
    log.add_observer(told[me]);
    note(log, 1);
    log.tell();
  });
  for (const auto& each : told) INTERLEAVE_EXPECT(each->changes == 1 || each->changes == 2);
  INTERLEAVE_EXPECT(told[0]->changes + told[1]->changes >= 3);
});

const Register two_report("segment_log.two_are_out_of_memory", "N4", [] {
  SegmentLog log;
  const auto last = std::make_shared<Last>();
  log.add_observer(last);
  at_once([&](int me) {
    OutOfMemoryReport report;
    report.requested = me == 0 ? 1 : 2;
    log.tell(report);
  });
  INTERLEAVE_EXPECT(last->out_of_memory.load(std::memory_order_relaxed) == 3);
});

const Register two_figures("segment_figures.two_change", "M1", [] {
  SegmentFigures figures;
  at_once([&](int me) {
    figures.gain(me == 0, 8, 0);
    const SegmentFigures::Figures now = figures.value();
    INTERLEAVE_EXPECT(now.bytes.all.current == now.bytes.small.current + now.bytes.large.current);
    figures.lose(me == 0, 8, 0);
    figures.reset_peaks();
  });
  const SegmentFigures::Figures last = figures.value();
  INTERLEAVE_EXPECT(last.bytes.all.current == 0 && last.segments.all.freed == 2 && last.bytes.all.peak == 0);
});

}  // namespace
}  // namespace millrace::verify
