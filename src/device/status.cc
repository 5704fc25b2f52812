#include "device/status.h"

namespace millrace {

void throw_rule(const char* rule, std::string message, ErrorContext context) {
  context.rule = rule;
  throw Error(ErrorCode::InvalidState, std::move(message), std::move(context));
}

}  // namespace millrace
