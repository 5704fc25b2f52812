// Runs a test under every execution that the memory model allows.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "interleave/where.h"

namespace interleave {

/// What was found. Everything but `pass` is a failure.
enum class Verdict : std::uint8_t {
  pass,
  assertion,         // expect or assert was false
  exception,         // an exception left a thread's function
  race,              // two accesses, one of them plain, one a write, neither happens before the other
  use_after_free,    // of memory given back, or of a primitive destroyed
  double_free,       // or a free of what was never allocated
  leak,              // memory allocated in the run and still there after it
  deadlock,          // every thread left waits for another one
  livelock,          // a loop waits for a value that nobody is going to store
  lost_wakeup,       // a thread sleeps although it was to be woken: the notification came too early, or never
  crash,             // an invalid memory access, a division by zero, abort
  misuse,            // an operation that its contract forbids: unlocking a mutex of another thread, say
  nondeterministic,  // the test did not do the same when it was run the same way again
  limit,             // the test needs more than the checker has: threads, memory, time for one run
};

/// How much of what the model allows was explored.
enum class Coverage : std::uint8_t {
  complete,  // everything
  bounded,   // some runs were cut off, or the time, memory or executions allowed were used up
  sampled,   // random runs
};

enum class Model : std::uint8_t {
  rc11,  // C++20's, less executions in which values come out of cycles of loads and later stores
  sc,    // interleavings only: every access as if it were sequentially consistent, with the happens-before
         // of the orders written
};

/// How `samples` runs are chosen.
enum class Sampling : std::uint8_t {
  random,  // each choice evenly
  pct,     // random priorities that change `depth` times a run: finds bugs that need few ordering constraints
};

struct Options {
  Model model = Model::rc11;

  unsigned max_threads = 17;  // at once alive or not, the body's own included; at most 32
  unsigned max_events = 256;  // synchronising operations of one run, at most 2048; a longer run is cut off
                              // and said to be bounded

  std::uint64_t max_executions = 0;  // 0: no limit
  double max_seconds = 0;            // 0: no limit; looked at between runs
  double max_run_seconds = 10;  // without an operation of interleave's, for which a run is given up: it is in
                                // a loop, or in a lock of the standard library's; 0: no limit
  std::uint64_t tick = 0;       // nanoseconds that each look at the clock takes; 0: it stands still, but for
                                // sleeps and waits that time out
  std::uint64_t max_time = 0;   // nanoseconds: a thread that looks at the clock later than that has its run
                                // cut off, which is then bounded; 0: no limit
  std::uint64_t max_memory = std::uint64_t{1} << 30;  // bytes that pending work may take, at least 1 MiB

  unsigned workers = 1;  // processes that share the work of exploring everything; samples, max_preemptions,
                         // duplicates and the lint are one's

  bool spurious_wakeups = false;     // each wait on a condition variable may end once for no reason
  bool allocation_failures = false;  // each operator new may throw std::bad_alloc, each malloc return null
  bool address_reuse = false;        // an allocation may get the address of memory freed before
  bool leaks = true;                 // memory not freed by the end of a run is a failure

  std::uint64_t samples = 0;  // not 0: so many random runs instead of all
  Sampling sampling = Sampling::random;
  unsigned depth = 3;
  std::uint64_t seed = 1;
  int max_preemptions = -1;  // not negative: only executions with so many switches away from a thread that
                             // could go on, each taking the newest value of what it reads: bounded

  std::string replay = {};  // runs only the execution that this string of an earlier report names
  bool shrink = true;       // a failure is reported in the shortest execution found
  bool duplicates = false;  // fails (nondeterministic) when an execution is met twice: the checker's own test
  bool load_buffering_lint = false;  // Result::notes tells where C++20 allows what RC11 does not; slow
  bool sites = false;                // Result::sites tells which threads came by which lines
};

/// A line of which some operation of interleave's was called, and by whom.
struct Site {
  Where where;
  std::uint32_t threads = 0;  // bit t: thread t has, in one run or another; the body is 0
};

/// What check found.
struct Result {
  Verdict verdict = Verdict::pass;
  Coverage coverage = Coverage::complete;

  std::uint64_t executions = 0;  // complete ones, each different unless sampled
  std::uint64_t blocked = 0;     // left because some wait in them would be served in another one
  std::uint64_t bounded = 0;     // cut off by a bound
  double seconds = 0;

  std::string message;  // one line: what went wrong
  Where where;          // where it went wrong: for a race, the access that came second in the report
  Where other;          // the other access of a race, the free of a use after free or of a double free
  std::string report;   // for people: events side by side, what was read from where, and why it is wrong
  std::string replay;   // for Options::replay; empty on pass
  std::vector<std::string> notes = {};  // what the lint has to say
  std::vector<Site> sites = {};         // for Options::sites, by file and line; also when the check failed

  bool passed() const noexcept { return verdict == Verdict::pass; }
  /// Passed, nothing was left out, and there was something: an assume that never holds proves nothing.
  bool proved() const noexcept { return passed() && coverage == Coverage::complete && executions != 0; }
};

/// Runs the body, which starts threads by interleave::thread, once for every execution that the model allows,
/// until one fails.
///
/// The body must do the same each time it is run under the same choices: no clocks, random numbers or input
/// but interleave's. It runs on stacks of the checker's own; when a run is abandoned, the destructors of what
/// stands on them do not run. Options::replay wins over INTERLEAVE_REPLAY in the environment, which wins over
/// exploring.
///
/// Throws std::invalid_argument for options that contradict each other or a replay string that is none, and
/// std::logic_error while another thread is in a check.
/// Thread safety: one check at a time in a process; its other system threads may run, but share nothing with
/// the body.
Result check(const Options& options, const std::function<void()>& body);
Result check(const std::function<void()>& body);

/// Fails the run when the condition is false. Outside a run: prints and aborts.
/// Thread safety: any thread of a run.
void expect(bool condition, const char* what = "expectation", Where where = Where::current());
/// Leaves the run without a verdict when the condition is false: it is of no interest, and counted as
/// blocked.
void assume(bool condition, Where where = Where::current());
/// A choice of the test's own: explores all of 0 to count - 1.
unsigned choose(unsigned count, Where where = Where::current());
/// From here on each operator new of the calling thread may throw std::bad_alloc and each malloc return null,
/// until so many have: each of them is explored. 0: none, as at the beginning of a thread. What a thread is
/// to run is allocated by whoever starts it, too; exceptions are not: the C++ runtime has memory for those.
/// Returns how many of those that might have failed so far have not.
unsigned fail_allocations(unsigned most, Where where = Where::current());
/// As fail_allocations, of the starts of threads: each constructor of a thread or jthread that is given a
/// function may throw std::system_error with std::errc::resource_unavailable_try_again, as where the system
/// has no thread left.
unsigned fail_threads(unsigned most, Where where = Where::current());

const char* name(Verdict verdict) noexcept;
const char* name(Coverage coverage) noexcept;
/// "PASS complete executions=24 blocked=0 bounded=0 seconds=0.01", or the message of a failure.
std::string summary(const Result& result);

}  // namespace interleave

/// expect with the condition's text.
#define INTERLEAVE_EXPECT(condition) ::interleave::expect(static_cast<bool>(condition), #condition)
