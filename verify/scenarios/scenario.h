// A scenario: a small program over the production classes that the model checker runs under every execution.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <interleave/interleave.h>

namespace millrace::verify {

/// What exploring a scenario must show. Whose runs are all left before their end shows nothing, and meets
/// none of these but a failure.
class Expectation {
 public:
  /// It passes, and everything that the memory model allows was explored.
  static Expectation proved() { return {}; }
  /// It fails, in this way: what it shows to be wrong is not production code.
  static Expectation refuted(interleave::Verdict verdict) { return {Kind::refuted, verdict, {}}; }
  /// It passes within its options' bounds; the reason says why it has some.
  static Expectation bounded(std::string reason) {
    return {Kind::bounded, interleave::Verdict::pass, std::move(reason)};
  }
  /// It passes in random runs; the reason says why these must do.
  static Expectation sampled(std::string reason) {
    return {Kind::sampled, interleave::Verdict::pass, std::move(reason)};
  }

  bool met_by(const interleave::Result& result) const;
  /// "proved", "refuted: race", "bounded: <reason>", "sampled: <reason>".
  std::string text() const;

 private:
  enum class Kind { proved, refuted, bounded, sampled };
  Expectation() = default;
  Expectation(Kind kind, interleave::Verdict verdict, std::string reason)
      : kind_(kind), verdict_(verdict), reason_(std::move(reason)) {}

  Kind kind_ = Kind::proved;
  interleave::Verdict verdict_ = interleave::Verdict::pass;
  std::string reason_;
};

enum class Speed {
  quick,
  slow,  ///< left out of the quick set, which `./test` runs
};

struct Scenario {
  std::string name;        ///< "part.what"
  std::string invariants;  ///< of docs/concurrency.md, "G1 G2"
  interleave::Options options;
  std::function<void()> body;
  Expectation expectation = Expectation::proved();
  Speed speed = Speed::quick;
};

/// In no order.
///
/// Thread safety: written before main, read after.
std::vector<Scenario>& scenarios();

/// Where a process forks or exits: what threads had that are no more, or were given up on, is nobody's.
inline interleave::Options without_leaks(interleave::Options options) {
  options.leaks = false;
  return options;
}

/// One in each static of a scenario's file.
struct Register {
  Register(std::string name, std::string invariants, std::function<void()> body,
           interleave::Options options = {}, Speed speed = Speed::quick)
      : Register(std::move(name), std::move(invariants), std::move(body), Expectation::proved(),
                 std::move(options), speed) {}
  Register(std::string name, std::string invariants, std::function<void()> body, Expectation expectation,
           interleave::Options options = {}, Speed speed = Speed::quick) {
    scenarios().push_back({std::move(name), std::move(invariants), std::move(options), std::move(body),
                           std::move(expectation), speed});
  }
};

/// While it lives, one allocation of the calling thread's fails, whichever.
class OneFails {
 public:
  OneFails() { interleave::fail_allocations(1); }
  ~OneFails() { interleave::fail_allocations(0); }
  OneFails(const OneFails&) = delete;
  OneFails& operator=(const OneFails&) = delete;
};

}  // namespace millrace::verify
