// A scenario: a small program over the production classes that the model checker runs under every execution.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <interleave/interleave.h>

namespace millrace::verify {

struct Scenario {
  std::string name;        ///< "part.what"
  std::string invariants;  ///< of docs/concurrency.md, "G1 G2"
  interleave::Options options;
  std::function<void()> body;
};

/// In the order of their names.
///
/// Thread safety: written before main, read after.
std::vector<Scenario>& scenarios();

/// One in each static of a scenario's file.
struct Register {
  Register(std::string name, std::string invariants, std::function<void()> body,
           interleave::Options options = {}) {
    scenarios().push_back({std::move(name), std::move(invariants), std::move(options), std::move(body)});
  }
};

}  // namespace millrace::verify
