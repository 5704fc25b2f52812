#include "runtime/exploration.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "runtime/heap.h"
#include "runtime/interposed.h"
#include "runtime/machine.h"
#include "runtime/thread_state.h"

namespace interleave {
namespace {

void refuse_contradictions(const Options& options) {
  const auto refuse = [](const char* what) {
    throw std::invalid_argument(std::string("interleave::Options: ") + what);
  };
  if (options.max_threads < 1 || options.max_threads > 32) refuse("max_threads is 1 to 32");
  if (options.max_events < 1 || options.max_events > unsigned{kMostEvents}) {
    refuse("max_events is 1 to 2048");
  }
  if (options.workers < 1 || options.workers > 64) refuse("workers is 1 to 64");
  if (!(options.max_seconds >= 0) || !(options.max_run_seconds >= 0)) {
    refuse("max_seconds and max_run_seconds are not negative");
  }
  if (options.samples != 0 && options.max_preemptions >= 0)
    refuse("samples and max_preemptions are two ways of choosing runs");
  if (options.model == Model::sc && (options.samples != 0 || options.max_preemptions >= 0)) {
    refuse("the model sc is for exploring everything");
  }
}

/// Runs share the process's memory, stacks and handlers of signals.
///
/// Thread safety: any thread.
class OneAtATime {
 public:
  OneAtATime() {
    // acquire: what the check before has left.
    if (busy.test_and_set(std::memory_order_acquire)) {
      throw std::logic_error(
          "interleave::check: another thread of this process is in a check, and there is one at a time");
    }
  }
  ~OneAtATime() { busy.clear(std::memory_order_release); }  // pairs with the acquire of the next
  OneAtATime(const OneAtATime&) = delete;
  OneAtATime& operator=(const OneAtATime&) = delete;

 private:
  static std::atomic_flag busy;
};
std::atomic_flag OneAtATime::busy;

}  // namespace

Result explore(const Options& options, const std::function<void()>& body, Observer* observer,
               bool* plain_race) {
  refuse_contradictions(options);
  if (running_machine != nullptr) throw std::invalid_argument("interleave::check inside of a run");
  const OneAtATime only;
  install_heap();
  const Interposed interposed;
  assertions_told = false;
  Result result;
  bool race = false;
  const std::string& replay = options.replay;
  if (!explore_with<1>(options, body, observer, replay, result, race) &&
      !explore_with<2>(options, body, observer, replay, result, race) &&
      !explore_with<4>(options, body, observer, replay, result, race) &&
      !explore_with<8>(options, body, observer, replay, result, race) &&
      !explore_with<16>(options, body, observer, replay, result, race)) {
    explore_with<32>(options, body, observer, replay, result, race);
  }
  if (plain_race != nullptr) *plain_race = race;
  return result;
}

Result check(const Options& options, const std::function<void()>& body) {
  const char* environment = std::getenv("INTERLEAVE_REPLAY");
  if (environment == nullptr || !options.replay.empty()) return explore(options, body, nullptr, nullptr);
  Options replaying = options;
  replaying.replay = environment;
  return explore(replaying, body, nullptr, nullptr);
}

Result check(const std::function<void()>& body) {
  return check(Options(), body);
}

}  // namespace interleave
