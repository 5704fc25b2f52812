#include "runtime/sampling.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace interleave {
namespace {

/// The nth thread of the mask.
int nth(std::uint32_t threads, int n) {
  for (; n > 0; --n) threads &= threads - 1;
  return std::countr_zero(threads);
}

/// Those of the alternatives that let the thread go on stand first.
int count_going_on(const Alternative* alternatives, int count) {
  return count > 1 && alternatives[count - 1].blocked ? count - 1 : count;
}

}  // namespace

Sampler::Sampler(const Options& options, std::uint64_t run, int expected_events)
    : random_(options.seed + run * 0x9e3779b97f4a7c15), pct_(options.sampling == Sampling::pct) {
  std::iota(std::begin(priority_), std::end(priority_), 1);
  for (int i = kMaxThreads - 1; i > 0; --i) std::swap(priority_[i], priority_[random_.below(i + 1)]);
  for (unsigned i = 1; pct_ && i < options.depth; ++i)
    changes_.push_back(random_.below(std::max(1, expected_events)));
}

int Sampler::next_thread(std::uint32_t ready, int current) {
  if (!pct_) return nth(ready, random_.below(std::popcount(ready)));
  if (std::find(changes_.begin(), changes_.end(), step_++) != changes_.end()) priority_[current] = --lowest_;
  int best = -1;
  for (std::uint32_t rest = ready; rest != 0; rest &= rest - 1) {
    const int thread = std::countr_zero(rest);
    if (best < 0 || priority_[thread] > priority_[best]) best = thread;
  }
  return best;
}

int Sampler::choose(const Alternative* alternatives, int count, Adding what) {
  const int going_on = what == Adding::read ? count_going_on(alternatives, count) : count;
  return random_.below(going_on);
}

int FewPreemptions::take(int count) {
  if (count <= 1) return 0;
  const Inside inside;
  if (at_ == path_.size()) path_.push_back({0, count});
  return path_[at_++].taken;
}

bool FewPreemptions::advance() {
  while (!path_.empty() && path_.back().taken + 1 >= path_.back().count) path_.pop_back();
  if (path_.empty()) return false;
  ++path_.back().taken;
  return true;
}

int FewPreemptions::next_thread(std::uint32_t ready, int current) {
  const bool goes_on = (ready >> current & 1) != 0;
  if (!goes_on) return nth(ready, take(std::popcount(ready)));
  if (used_ >= most_) return current;
  const std::uint32_t others = ready & ~(std::uint32_t{1} << current);
  const int taken = take(1 + std::popcount(others));
  if (taken == 0) return current;
  ++used_;
  return nth(others, taken - 1);
}

int FewPreemptions::choose(const Alternative* alternatives, int count, Adding what) {
  if (what == Adding::choice) return take(count);
  if (what == Adding::store) return 0;  // the newest place
  // The newest value; of a notification, whichever waiter.
  int same = 1;
  while (same < count && alternatives[same].place == alternatives[0].place && !alternatives[same].blocked)
    ++same;
  return alternatives[0].blocked || same == 1 || alternatives[1].success != alternatives[0].success
             ? 0
             : take(same);
}

}  // namespace interleave
