#include "device/status.h"

namespace millrace {

namespace {

// Never destroyed: work may fail while the process exits.
const Status& made_at_load =
    *new Status(ErrorCode::OutOfMemory, "something failed, and there was no host memory to say what");

}  // namespace

const Status& Status::no_memory() noexcept {
  return made_at_load;
}

void throw_rule(const char* rule, std::string message, ErrorContext context) {
  context.rule = rule;
  throw Error(ErrorCode::InvalidState, std::move(message), std::move(context));
}

}  // namespace millrace
