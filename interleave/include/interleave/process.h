// The fork of the process, as something that may happen in a run.
#pragma once

#include "interleave/detail/runtime.h"

namespace interleave {

/// Runs the prepare hooks, then goes on in two executions: as the parent (1), and as the child (0), in which
/// the other threads stay where they are for ever, at every point that they can have reached, and the memory
/// is as they left it. Then the parent's or the child's hooks run.
///
/// Thread safety: any thread of a run.
inline int fork(Where where = Where::current()) {
  return detail::process_fork(where);
}

/// pthread_atfork for the rest of the run. Null hooks are left out.
/// Thread safety: any thread of a run.
inline void at_fork(void (*prepare)(), void (*parent)(), void (*child)()) {
  detail::process_at_fork(prepare, parent, child);
}

}  // namespace interleave
