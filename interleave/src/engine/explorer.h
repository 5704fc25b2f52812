// From one graph to all that follow it: each consistent execution graph once.
//
// After TruSt (Kokologiannakis, Marmanis, Gladstein, Vafeiadis, POPL 2022). An event is added in every way
// that the graph allows: a read from each write that coherence lets it see, a write at each place in
// modification order. A write also revisits reads that are there already: the read takes the write's value,
// and what was added after the read and does not lead to the write is dropped. So that each graph is met
// once, a revisit is made only if everything it drops, and the read itself, was added maximally: as if it
// could not know better. docs/exploring.md explains it with pictures.
#pragma once

#include <array>
#include <set>
#include <string>

#include "engine/consistency.h"
#include "engine/fingerprint.h"
#include "engine/graph.h"
#include "engine/random.h"
#include "engine/stack.h"
#include "interleave/check.h"

namespace interleave {

/// A reading operation, as its thread knows it.
struct Read {
  Access access = Access::load;
  std::uint16_t location = 0;
  Order success = Order::relaxed;  // also of loads
  Order failure = Order::relaxed;
  std::uint64_t argument = 0;
  std::uint64_t initial = 0;
  detail::Modify how{detail::Rmw::exchange, 8, 0};
  detail::Predicate holds = nullptr;
  const void* context = nullptr;
};

/// What a waiting operation would find.
enum class Prospect : std::uint8_t { newest, older, none };

/// One way in which an event can be added.
struct Alternative {
  std::int16_t place;  // of the source, -1 the initial value; of a store: its own
  std::uint8_t choice = 0;
  bool success = false;  // of try_lock
  bool blocked = false;  // the thread stays where it is
};

enum class Adding : std::uint8_t { read, store, choice };

/// Takes one of the alternatives; the others are forgotten.
class Chooser {
 public:
  virtual ~Chooser() = default;
  virtual int choose(const Alternative* alternatives, int count, Adding what) = 0;
};

/// Thread safety: one thread.
template <int W>
class Explorer {
 public:
  using Mask = Bits<W>;

  Explorer(Model model, Stack& stack) : model_(model), stack_(stack) {}

  Graph<W> graph;

  /// Null: all alternatives are explored.
  void set_chooser(Chooser* chooser) noexcept { chooser_ = chooser; }
  bool out_of_memory() const noexcept { return out_of_memory_; }
  /// Graphs to go on with later.
  std::size_t put_aside() const noexcept { return stack_.count(); }
  /// The last event's source leaves no place for its write: nothing follows but what it has revisited.
  bool abandoned() const noexcept { return abandoned_; }
  void start_run() noexcept { abandoned_ = newest_only_ = false; }
  /// The rest of the run is that of a child process: one thread, which sees memory as it was left.
  void take_newest_only() noexcept { newest_only_ = true; }
  void push_graph() { push(graph); }

  int add(Kind kind, int thread, const Frontier<W>& from, Order order);
  int add_store(int thread, const Frontier<W>& from, int location, std::uint64_t value, Order order);
  int add_read(int thread, const Frontier<W>& from, const Read& read);
  int add_try_lock(int thread, const Frontier<W>& from, const Read& read);
  int add_unlock(int thread, const Frontier<W>& from, int lock);
  int add_fork(int thread, const Frontier<W>& from);
  int add_choice(int thread, const Frontier<W>& from, int count);
  /// What follows from the source of an event that was revisited, or pushed as an alternative.
  void finish(int e, const Read& read);
  Prospect prospect(const Frontier<W>& from, const Read& read) const;
  std::uint64_t value_read(int e, std::uint64_t initial) const noexcept {
    const int source = graph[e].source;
    return source < 0 ? initial : graph[source].value;
  }
  /// Whether a thread blocked at e would go on if it looked again.
  bool would_go_on(int e) const noexcept;

 private:
  void settle(Graph<W>& in, int e, int source, std::uint64_t value, const Frontier<W>& from,
              const Read* read);
  void settle_try(Graph<W>& in, int e, int source, bool success, const Frontier<W>& from);
  void write_value(int e, const Read& read);
  void revisit_from(int w, int place);
  void revisit(int w, int r, int place);
  void revisit_by_unlock(int unlock, int r);
  void push_settled(int r, int w, const Frontier<W>& from);
  bool may_revisit(int w, int r, Mask& kept) const;
  bool maximal(int e, int w, const Mask& past) const;
  /// The axioms about the whole graph have nothing to say.
  bool all_consistent() const noexcept { return model_ != Model::sc && !graph.strong(); }
  bool consistent(const Graph<W>& of) {
    return model_ == Model::sc ? consistency_.sc(of) : consistency_.psc(of);
  }
  void push_cuts(int fork, const Mask& least, const Mask& most);
  bool consistent_with_write(Graph<W>& of, int e);
  void push(const Graph<W>& what);
  int pick(int count, Adding what) {
    return chooser_ == nullptr ? 0 : chooser_->choose(alternatives_.data(), count, what);
  }
  /// The graph goes on with one of the first alternatives, which take(const Alternative&) makes the new
  /// event's; with each of the others it goes on later.
  template <typename Take>
  void settle_each(int count, const Take& take) {
    const int chosen = pick(count, Adding::read);
    if (chooser_ == nullptr) {
      for (int i = 1; i < count; ++i) {
        take(alternatives_[i]);
        push(graph);
      }
    }
    take(alternatives_[chosen]);
  }

  Model model_;
  Stack& stack_;
  Chooser* chooser_ = nullptr;
  bool out_of_memory_ = false;
  bool abandoned_ = false;
  bool newest_only_ = false;
  std::set<std::string> cuts_;  // at forks, that have been explored
  Consistency<W> consistency_;
  Graph<W> scratch_;
  std::array<Alternative, 2 * 64 * W + 64> alternatives_;
};

std::uint64_t next_value(const Read& read, std::uint64_t old, unsigned choice) noexcept;

}  // namespace interleave
