// What the attempts share.
#include "verify/attempts.h"

#include <fmt/format.h>

#include "verify/report.h"

namespace millrace::tool {

bool build_for(Attempt& attempt, const AttemptContext& context, const std::string& preset,
               const std::string& target) {
  if (context.doing) context.doing(fmt::format("building {} {}", preset, target));
  const ChildCommand command{
      .arguments = {"bash", "-c", fmt::format(". scripts/setup.sh && build {} {}", preset, target)},
      .environment = {},
      .folder = context.root,
      .limit = std::chrono::minutes(60)};  // from nothing, on two cores that do something else too
  const ChildResult result = run_child(command);
  if (result.succeeded()) return true;
  const std::string what = fmt::format("the build of {} {} {}", preset, target, result.how_it_ended(command));
  if (!result.was_stopped()) {
    attempt.fail(finding_of(context, what, command, result.output + result.errors));
  } else {
    attempt.give_up(what);
  }
  return false;
}

Finding finding_of(const AttemptContext& context, std::string what, const ChildCommand& command,
                   const std::string& output) {
  return {std::move(what), without_root(shell_text(command), context.root),
          without_root(output, context.root)};
}

}  // namespace millrace::tool
