// A biased lock: claims against claims and against its end, with membarrier and without.
#include "at_once.h"
#include "scenario.h"
#include "sync/biased_lock.h"

namespace millrace::verify {
namespace {

using interleave::thread;

void claim_and_work(sync::BiasedLock& lock, int& state) {
  if (!lock.try_claim()) return;
  ++state;
  lock.unclaim();
}

const Register two_claim_without("biased_lock.two_claim_without_membarrier", "F1 X1 X2", [] {
  sync::BiasedLock lock;
  int state = 0;
  thread one([&] { claim_and_work(lock, state); });
  thread two([&] { claim_and_work(lock, state); });
  if (lock.lock()) {
    ++state;
    lock.unlock();
  }
  one.join();
  two.join();
});

void claim_against_retire(bool asymmetric) {
  if (asymmetric) sync::prepare_asymmetric_fences();
  sync::BiasedLock lock;
  int state = 0;
  thread other([&] { claim_and_work(lock, state); });
  INTERLEAVE_EXPECT(lock.retire());
  ++state;  // it is ours for good
  other.join();
}

const Register claim_retire("biased_lock.claim_against_retire", "X1 X2 X3",
                            [] { claim_against_retire(true); });
const Register claim_retire_without("biased_lock.claim_against_retire_without_membarrier", "X1 X2 X3",
                                    [] { claim_against_retire(false); });
const Register claim_retire_by_owner("biased_lock.claim_against_retire_by_owner", "X1 X2 X3", [] {
  sync::prepare_asymmetric_fences();
  sync::BiasedLock lock;
  int state = 0;
  thread other([&] { claim_and_work(lock, state); });
  INTERLEAVE_EXPECT(lock.retire_by_owner());
  ++state;
  other.join();
});

const Register owner_retire_without("biased_lock.owner_against_retire_without_membarrier", "F1 X1 X2 X3", [] {
  sync::BiasedLock lock;
  int state = 0;
  thread owner([&] {
    if (!lock.lock()) return;
    ++state;
    lock.unlock();
  });
  INTERLEAVE_EXPECT(lock.retire());
  ++state;
  owner.join();
});

// The lock is one's for good: the one waits for the holder, and the other is told.
const Register two_retire_a_claimed("biased_lock.two_retire_what_is_claimed", "X1 X3", [] {
  sync::prepare_asymmetric_fences();
  sync::BiasedLock lock;
  int state = 0;
  bool retired[2] = {};
  thread claimer([&] { claim_and_work(lock, state); });
  at_once([&](int me) {
    retired[me] = lock.retire();
    if (retired[me]) ++state;
    INTERLEAVE_EXPECT(lock.retired());
  });
  claimer.join();
  INTERLEAVE_EXPECT(retired[0] != retired[1]);
});

const Register two_retire_a_held("biased_lock.two_retire_what_its_owner_holds", "X1 X3", [] {
  sync::prepare_asymmetric_fences();
  sync::BiasedLock lock;
  int state = 0;
  bool retired[2] = {};
  thread owner([&] {
    if (!lock.lock()) return;
    ++state;
    lock.unlock();
  });
  at_once([&](int me) {
    retired[me] = lock.retire();
    if (retired[me]) ++state;
  });
  owner.join();
  INTERLEAVE_EXPECT(retired[0] != retired[1]);
});

// As threads flush each other's caches: each owns one lock and claims the other's.
const Register two_owners("biased_lock.two_owners_claim_the_others", "X1 X2", [] {
  sync::prepare_asymmetric_fences();
  sync::BiasedLock locks[2];
  int states[2] = {};
  at_once([&](int me) {
    if (locks[me].lock()) {
      ++states[me];
      locks[me].unlock();
    }
    claim_and_work(locks[1 - me], states[1 - me]);
  });
  INTERLEAVE_EXPECT(states[0] >= 1 && states[1] >= 1);
});

}  // namespace
}  // namespace millrace::verify
