// A failed execution as people read it.
#pragma once

#include <string>
#include <vector>

#include "interleave/check.h"

namespace interleave {

/// One thing that a thread did.
struct Deed {
  int step = 0;  // counts from 1
  int thread = 0;
  std::string what;
  Where where;
  bool failed = false;  // it is what went wrong
};

/// Thread safety: a value.
struct Story {
  Verdict verdict = Verdict::pass;
  std::string message;
  Where where, other;
  int threads = 0;
  std::vector<Deed> deeds;
  std::vector<std::string> objects;      // "a0 is the atomic made at gate.cc:12"
  std::vector<std::string> explanation;  // why this could happen
  std::string replay;
};

/// The threads side by side, downwards in an order in which it can have happened.
std::string format(const Story& story);
/// "gate.cc:12", without folders.
std::string short_place(Where where);

}  // namespace interleave
