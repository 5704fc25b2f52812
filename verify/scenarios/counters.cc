// Totals that are summed while they change.
#include "memory/counters.h"

#include "memory/peak.h"
#include "scenario.h"

namespace millrace::verify {
namespace {

using interleave::thread;

/// As Allocator::totals reads: all frees before any allocation.
Totals sum_of(const Counters& one, const Counters& two) {
  Totals sum;
  for (const Counters* each : {&one, &two}) each->add_freed_to(sum);
  for (const Counters* each : {&one, &two}) each->add_allocated_to(sum);
  return sum;
}

const Register never_negative("counters.never_negative", "M4", [] {
  Counters one, two;
  sync::atomic<bool> handed{false};
  thread allocating([&] {
    one.on_allocate(8);
    handed.store(true, std::memory_order_release);
  });
  thread freeing([&] {
    if (handed.load(std::memory_order_acquire)) two.on_free(8);
  });
  const Totals sum = sum_of(one, two);
  INTERLEAVE_EXPECT(sum.freed_bytes <= sum.allocated_bytes && sum.frees <= sum.allocations);
  allocating.join();
  freeing.join();
  const Totals last = sum_of(one, two);
  INTERLEAVE_EXPECT(last.allocated_bytes == 8 && last.allocations == 1);
});

const Register peak("counters.peak_of_two", "M1", [] {
  Peaks shared(0);
  thread other([&] {
    PeakShare share;
    share.on_allocate(shared, 2);
    share.on_free(shared, 2);
  });
  PeakShare share;
  share.on_allocate(shared, 1);
  other.join();
  INTERLEAVE_EXPECT(shared.value().live.bytes == 2 || shared.value().live.bytes == 3);
  share.on_allocate(shared, 1);
  INTERLEAVE_EXPECT(shared.value().live.bytes == 2 || shared.value().live.bytes == 3);
});

}  // namespace
}  // namespace millrace::verify
