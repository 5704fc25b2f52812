// A lock for one thread that takes it all the time and others that hardly ever do, and the fences below it.
#include "sync/biased_lock.h"

#include "scenario.h"

namespace millrace::verify {
namespace {

using interleave::thread;

void announce_against_fence(bool asymmetric) {
  if (asymmetric) sync::prepare_asymmetric_fences();
  sync::atomic<int> announced{0}, claimed{0};
  int seen = 0;
  thread owner([&] {
    sync::announce(announced, 1);
    seen = claimed.load(std::memory_order_seq_cst);
  });
  claimed.store(1, std::memory_order_seq_cst);
  sync::heavy_fence();
  const int other = announced.load(std::memory_order_seq_cst);
  owner.join();
  INTERLEAVE_EXPECT(seen == 1 || other == 1);
}

const Register announce("asymmetric_fence.announce", "F1", [] { announce_against_fence(true); });
const Register announce_without("asymmetric_fence.without_membarrier", "F1",
                                [] { announce_against_fence(false); });

void owner_against_claim(bool asymmetric) {
  if (asymmetric) sync::prepare_asymmetric_fences();
  sync::BiasedLock lock;
  int state = 0;
  thread owner([&] {
    for (int i = 0; i < 2; ++i) {
      if (!lock.lock()) continue;
      ++state;
      lock.unlock();
    }
  });
  const bool claimed = lock.try_claim();
  if (claimed) {
    ++state;
    lock.unclaim();
  }
  owner.join();
  INTERLEAVE_EXPECT(state == 2 + static_cast<int>(claimed));
}

const Register owner_claim("biased_lock.owner_against_claim", "X1 X2", [] { owner_against_claim(true); });
const Register owner_claim_without("biased_lock.owner_against_claim_without_membarrier", "X1 X2",
                                   [] { owner_against_claim(false); });

const Register owner_retire("biased_lock.owner_against_retire", "X1 X2 X3", [] {
  sync::prepare_asymmetric_fences();
  sync::BiasedLock lock;
  int state = 0;
  thread owner([&] {
    while (lock.lock()) {
      const bool again = ++state < 2;
      lock.unlock();
      if (!again) break;
    }
  });
  INTERLEAVE_EXPECT(lock.retire());
  const int last = state;
  ++state;  // it is ours for good
  INTERLEAVE_EXPECT(lock.retired());
  INTERLEAVE_EXPECT(!lock.retire());
  owner.join();
  INTERLEAVE_EXPECT(state == last + 1);
});

const Register two_claim("biased_lock.two_claim", "X1 X2", [] {
  sync::prepare_asymmetric_fences();
  sync::BiasedLock lock;
  int state = 0;
  const auto claim = [&] {
    if (!lock.try_claim()) return;
    ++state;
    lock.unclaim();
  };
  thread one(claim);
  thread two(claim);
  if (lock.lock()) {
    ++state;
    lock.unlock();
  }
  one.join();
  two.join();
});

const Register retired_by_owner("biased_lock.two_retire", "X1 X3", [] {
  sync::prepare_asymmetric_fences();
  sync::BiasedLock lock;
  int state = 0;
  bool by_other = false;
  thread other([&] {
    by_other = lock.retire();
    if (by_other) ++state;
  });
  const bool by_owner = lock.retire_by_owner();
  if (by_owner) ++state;
  other.join();
  INTERLEAVE_EXPECT(by_owner != by_other);
  INTERLEAVE_EXPECT(state == 1);
});

}  // namespace
}  // namespace millrace::verify
