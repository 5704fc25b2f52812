// Runs that are not all runs: random ones, and those with few preemptions.
#pragma once

#include <vector>

#include "engine/random.h"
#include "runtime/runner.h"

namespace interleave {

/// One random run. With pct, threads have random priorities, and at `depth` random steps the one that runs
/// gets the lowest.
///
/// Thread safety: one thread.
class Sampler final : public Steering {
 public:
  Sampler(const Options& options, std::uint64_t run, int expected_events);

  int next_thread(std::uint32_t ready, int current) override;
  int choose(const Alternative* alternatives, int count, Adding what) override;

 private:
  Random random_;
  bool pct_;
  int step_ = 0;
  int lowest_ = 0;
  int priority_[kMaxThreads];
  std::vector<int> changes_;
};

/// All runs with at most so many preemptions, one after the other: a search in the tree of what is chosen.
///
/// Thread safety: one thread.
class FewPreemptions final : public Steering {
 public:
  explicit FewPreemptions(int most) : most_(most) {}

  void start_run() noexcept {
    at_ = 0;
    used_ = 0;
  }
  /// The next run chooses differently somewhere; false when there is none left.
  bool advance();

  int next_thread(std::uint32_t ready, int current) override;
  int choose(const Alternative* alternatives, int count, Adding what) override;

 private:
  struct Choice {
    int taken, count;
  };
  int take(int count);

  int most_;
  int used_ = 0;
  std::size_t at_ = 0;
  std::vector<Choice> path_;
};

}  // namespace interleave
