// The fork of the process.
#pragma once

#include "runtime/runner.h"

namespace interleave {

/// Goes on as the parent. As the child it goes on in runs of their own, one for each point at which the other
/// threads can have been: the caller waits until they can't go on, and each part of what they have done that
/// is closed under dependency and has what the caller knows of is one such point.
template <int W>
int Runner<W>::process_fork(Where where) {
  at(where, "fork");
  for (auto hook = fork_hooks_[0].rbegin(); hook != fork_hooks_[0].rend(); ++hook) (*hook)();
  at(where, "fork");
  int e = take(Kind::fork, Access::load, 0);
  if (e == kNone) {
    if (steering_ == nullptr || steering_->waits(current_)) wait_for(Wait::others, 0);
    make_room();
    const Inside inside;
    e = explorer.add_fork(current_, front());
  }
  did(e, graph()[e].value);
  self().interrupt_spinning();
  const bool child = graph()[e].value != 0;
  if (child) {
    forked_ = ~(std::uint32_t{1} << current_);
    explorer.take_newest_only();
  }
  for (auto* hook : fork_hooks_[child ? 2 : 1]) hook();
  return child ? 0 : 1;
}

template <int W>
void Runner<W>::process_at_fork(void (*prepare)(), void (*parent)(), void (*child)()) {
  const Inside inside;
  if (prepare != nullptr) fork_hooks_[0].push_back(prepare);
  if (parent != nullptr) fork_hooks_[1].push_back(parent);
  if (child != nullptr) fork_hooks_[2].push_back(child);
}

}  // namespace interleave
