// Runs the test once for each graph.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/explorer_impl.h"
#include "engine/revisit_impl.h"
#include "runtime/addresses.h"
#include "runtime/machine.h"
#include "runtime/memory.h"
#include "runtime/races.h"
#include "runtime/sites.h"
#include "runtime/symbols.h"
#include "runtime/thread_state.h"

namespace interleave {

/// How a run ended.
enum class Ending : std::uint8_t {
  complete,
  blocked,   // a wait in it is served in another one
  bounded,   // more events than the test may have
  too_long,  // more events than this engine has room for
  failed,
};

struct Failure {
  Verdict verdict = Verdict::pass;
  std::string message;
  Where where;
  Where other;
  int thread = 0;
  bool hung = false;      // the run did not come back: it is not to be run again
  bool plain = false;     // the failure is at a plain access of the thread, after its last event
  int other_thread = -1;  // of a race
  int other_event = kNone;
};

/// Steers runs that are not part of exploring everything.
class Steering : public Chooser {
 public:
  /// The thread whose operation is next, of those in the mask.
  virtual int next_thread(std::uint32_t ready, int current) = 0;
  virtual void added(int /*event*/) {}
  /// Whether the thread may wait for better values; else it takes what there is.
  virtual bool waits(int /*thread*/) const { return true; }
};

/// Everything that an engine does with threads, times the number of events it has room for.
///
/// A run replays the graph's events, so that each thread has the values of the execution that the graph is,
/// and then goes on: the thread whose event is last in the graph's schedule until it waits or ends, then the
/// first one that can. Events are replayed in any order that respects what they depend on, so that threads
/// are changed as little as can be. All threads are fibers of one system thread.
///
/// Thread safety: one thread; one at a time in a process.
template <int W>
class Runner final : public Machine, private Knowledge {
 public:
  using Mask = Bits<W>;

  Runner(const Options& options, const std::function<void()>& body, Stack& stack);
  ~Runner() override;

  Explorer<W> explorer;

  /// Null: alternatives are left to the explorer.
  void steer(Steering* steering) {
    steering_ = steering;
    observed_ = steering_ != nullptr || tracing_;
    explorer.set_chooser(steering);
  }
  /// Whether to note where each operation was called from: slow, for runs that are reported.
  void trace(bool on) {
    tracing_ = on;
    observed_ = steering_ != nullptr || tracing_;
  }
  /// Where to note who comes by which lines; null: nowhere.
  void note_sites(Sites* sites) noexcept { sites_ = sites; }
  /// One run from explorer.graph on.
  Ending run();

  const Failure& failure() const noexcept { return failure_; }
  const ThreadState<W>& thread(int t) const noexcept { return threads_[t]; }
  const Mask& known_to(int t) noexcept {
    if (threads_[t].behind) catch_up(threads_[t]);
    return threads_[t].front.hb;
  }
  Where where(int e) const noexcept { return wheres_[e]; }
  const char* doing(int e) const noexcept { return doings_[e]; }
  std::uint64_t read_value(int e) const noexcept { return values_[e]; }
  const Addresses& addresses() const noexcept { return addresses_; }
  bool had_plain_race() const noexcept { return plain_race_; }

  void construct(const Cell& cell, Where where) override;
  void destroy(const Cell& cell, Where where) override;
  bool in_use(const Cell& cell) const override { return cell.run == run_ && cell.state != 0; }
  std::uint64_t load(const Cell& cell, std::uint64_t initial, std::memory_order order, Where where) override;
  void store(const Cell& cell, std::uint64_t initial, std::uint64_t value, std::memory_order order,
             Where where) override;
  std::uint64_t modify(const Cell& cell, std::uint64_t initial, detail::Modify how, std::memory_order order,
                       Where where) override;
  std::uint64_t compare_exchange(const Cell& cell, std::uint64_t initial, std::uint64_t expected,
                                 std::uint64_t desired, std::memory_order success, std::memory_order failure,
                                 Where where) override;
  const void* stack_end() const override { return fibers_[current_].stack_begin() + Fiber::kStackBytes; }
  void spins(std::uint64_t hash) override;
  void fence(std::memory_order order, Where where) override;
  std::uint64_t await(const Cell& cell, std::uint64_t initial, detail::Want want, std::uint64_t operand,
                      detail::Predicate predicate, const void* context, std::memory_order order,
                      Where where) override;
  void atomic_wait(const Cell& cell, std::uint64_t initial, std::uint64_t old, std::memory_order order,
                   Where where) override;
  void atomic_notify(const Cell& cell, bool all, Where where) override;
  void mutex_lock(const Cell& cell, Where where) override;
  bool mutex_try_lock(const Cell& cell, Where where) override;
  void mutex_unlock(const Cell& cell, Where where) override;
  bool condition_wait(const Cell& cell, const Cell& mutex, bool timed, Where where) override;
  void condition_notify(const Cell& cell, bool all, Where where) override;
  void semaphore_acquire(const Cell& cell, std::uint64_t initial, Where where) override;
  bool semaphore_try_acquire(const Cell& cell, std::uint64_t initial, Where where) override;
  void semaphore_release(const Cell& cell, std::uint64_t initial, std::ptrdiff_t count, std::ptrdiff_t most,
                         Where where) override;
  bool once_begin(const Cell& cell, Where where) override;
  void once_end(const Cell& cell, bool done, Where where) override;
  std::uint64_t plain_load(const Cell& cell, Where where) override;
  void plain_store(const Cell& cell, std::uint64_t value, Where where) override;
  void plain_access(const void* address, std::size_t bytes, bool write, Where where) override;
  void plain_destroy(const void* address, std::size_t bytes, Where where) override;
  void* allocate(std::size_t bytes, std::size_t alignment, const void* by) override;
  void release(void* address, const void* by) override;
  void thrown(const void* from) override { thrown_ = traced(place_of(from)); }
  void* closure_room(std::size_t bytes, std::size_t alignment, Where where) override;
  unsigned thread_start(void (*function)(void*), void* closure, Where where) override;
  void thread_join(unsigned thread, Where where) override;
  void thread_detach(unsigned thread, Where where) override;
  unsigned thread_self() const override { return static_cast<unsigned>(current_); }
  void thread_yield(Where where) override;
  void* slot_get(const void* key) const override;
  void slot_set(const void* key, void* value, void (*hook)(void*), Where where) override;
  std::int64_t clock_now() override;
  void clock_reached(std::int64_t when) override;
  int process_fork(Where where) override;
  void process_at_fork(void (*prepare)(), void (*parent)(), void (*child)()) override;
  std::uint64_t progress() const noexcept override;
  [[noreturn]] void hang() override;
  unsigned choose(unsigned count, Where where) override;
  unsigned fail_allocations(unsigned most, Where where) override;
  unsigned fail_threads(unsigned most, Where where) override;
  [[noreturn]] void abandon(Where where) override;
  [[noreturn]] void fail(Verdict verdict, const std::string& message, Where where, Where other) override;

 private:
  ThreadState<W>& self() noexcept { return *self_; }
  Graph<W>& graph() noexcept { return explorer.graph; }
  /// What the running thread's next event starts from.
  const Frontier<W>& front() noexcept {
    ThreadState<W>& thread = self();
    if (thread.behind) catch_up(thread);
    return thread.front;
  }
  void catch_up(ThreadState<W>& thread) noexcept;
  bool knows(Moment moment) override {
    const ThreadState<W>& thread = threads_[moment.thread];
    return thread.count > moment.count && front().hb.has(thread.events[moment.count]);
  }

  bool is_gone(unsigned thread) const noexcept override { return (forked_ >> thread & 1) != 0; }

  // Scheduling (runner_impl.h).
  static void entry();
  void thread_main();
  void run_slot_hooks();
  [[noreturn]] void finish_thread();
  [[noreturn]] void end(Ending ending);
  bool replaying() const noexcept { return to_replay_ != 0; }
  void plan_replay() noexcept;
  int first_not_replayed() noexcept;
  bool may_replay(int e) noexcept;
  void let_others_replay();
  void run_as(int thread) noexcept {
    current_ = thread;
    self_ = &threads_[thread];
  }
  void replayed(int e) noexcept {
    next_[current_] = graph()[e].after;
    --to_replay_;
  }
  int at_once(const Cell& cell, Kind kind, Access access) const noexcept;
  ThreadState<W>& did_at_once(int e) noexcept {
    replayed(e);
    done_.set(e);
    ThreadState<W>& thread = self();
    thread.did(e);
    return thread;
  }
  bool is_next(const Event<W>& event, Kind kind, Access access, int location) const noexcept;
  int take(Kind kind, Access access, int location);
  void make_room();
  void did(int e, std::uint64_t value);
  void tell_observers(int e, std::uint64_t value);
  void switch_to(int thread);
  void did_less(int thread);
  void dispatch();
  int next_thread();
  void let_others() {
    if (steering_ != nullptr) steer_away();
  }
  void steer_away();
  bool can_go_on(const ThreadState<W>& thread) noexcept;
  std::uint32_t ready_threads() noexcept;
  bool satisfied(const ThreadState<W>& thread) noexcept;
  void wait_for(Wait wait, int what);
  [[noreturn]] void stay_stuck();

  // Operations (operations_impl.h, blocking_impl.h).
  void at(Where where, const char* doing);
  struct Condition {
    Runner* runner;
    detail::Predicate holds;
    const void* context;
  };
  void need(bool fits, const char* what);
  bool may_fail(unsigned& left, Where where);
  bool allocation_fails(Where where);
  static bool ask(const void* condition, std::uint64_t value);
  Where traced(Where where) {
    if (!tracing_ || is_remembered(where) || !is_vague(where)) [[likely]]
      return where;
    const Inside inside;
    return remember_caller();
  }
  int begin(const Cell& cell, Where where, const char* doing);
  int look_up(const Cell& cell, Where where, const char* doing);
  int read_event(const Read& read);
  std::uint64_t load_in_turn(const Cell& cell, std::uint64_t initial, std::memory_order order, Where where);
  std::uint64_t load_anew(const Cell& cell, std::uint64_t initial, std::memory_order order, Where where);
  void wait_for_value(const Read& read);
  void store_event(int location, std::uint64_t value, Order order);
  void store_in_turn(const Cell& cell, std::uint64_t value, std::memory_order order, Where where);
  void store_anew(const Cell& cell, std::uint64_t value, std::memory_order order, Where where);
  std::uint64_t modify_anew(const Cell& cell, std::uint64_t initial, detail::Modify how,
                            std::memory_order order, Where where);
  int simple_event(Kind kind, Order order, int location);
  void stored(int location) noexcept;
  void wait_for_owner(int e, bool soft);
  void unlock_event(int location);
  bool in_plain_view(const Cell& cell) const noexcept;
  void note_load(int e, unsigned line) noexcept;
  void look_back(int loads) noexcept;
  void wait_spinning();

  // Endings (ending_impl.h).
  Ending judge();
  Ending judge_stuck();
  Ending judge_complete();
  int slept_from(int e);
  bool notification_missing();
  bool plain_events_race();
  std::string describe_stuck(int t);
  Ending failed(Verdict verdict, std::string message, int thread);

  const Options& options_;
  const std::function<void()>& body_;
  Steering* steering_ = nullptr;
  Sites* sites_ = nullptr;
  Addresses addresses_;
  Races races_;
  Memory memory_;

  std::uint32_t run_ = 0;
  int current_ = 0;
  ThreadState<W>* self_ = threads_;              // of current_
  std::size_t closures_used_[kMaxThreads] = {};  // by the threads that start threads
  static constexpr std::size_t kClosureBytes = 64 << 10;
  struct alignas(64) Closures {
    std::byte bytes[kClosureBytes];
  };
  std::unique_ptr<Closures[]> closures_{new Closures[kMaxThreads]};

  // Of the events that the graph had when the run began:
  int to_replay_ = 0;               // so many are left
  int step_ = 0;                    // of the schedule; those before it are not
  std::int16_t next_[kMaxThreads];  // of each thread, or kNone
  Mask in_turn_;                    // those that may not come before what is earlier in the schedule
  int thread_count_ = 0;
  Ending ending_ = Ending::complete;
  Failure failure_;
  bool tracing_ = false;
  bool observed_ = false;       // tracing or steered
  Where thrown_;                // the latest exception
  bool in_condition_ = false;   // the test's code that says whether an await ends is running
  bool freed_earlier_ = false;  // memory of an earlier run
  bool atomic_waits_ = false;
  bool plain_events_ = false;
  bool plain_race_ = false;
  struct Owner {
    std::uint32_t run = 0;
    std::int16_t lock = kNone;
  };
  std::vector<Owner> owners_ = std::vector<Owner>(Graph<W>::kLocations);  // of mutexes
  std::vector<std::uint64_t> initials_ =
      std::vector<std::uint64_t>(Graph<W>::kLocations);  // of atomics waited on
  std::vector<void (*)()> fork_hooks_[3];
  Mask done_;  // events that have happened in this run
  std::uint32_t forked_ = 0;
  ThreadState<W> threads_[kMaxThreads];
  Where wheres_[64 * W];
  std::uint32_t lines_[64 * W];  // of loads
  const char* doings_[64 * W];
  std::uint64_t values_[64 * W];  // read, if anybody observes
  Fiber host_;
  Fiber fibers_[kMaxThreads];
};

}  // namespace interleave
