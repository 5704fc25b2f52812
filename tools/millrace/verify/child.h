// Programs that a verification round runs: with a time limit, and ended together with all that they started.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace millrace::tool {

struct ChildCommand {
  std::vector<std::string> arguments;    ///< the first is the program, looked up as a shell does
  std::vector<std::string> environment;  ///< "NAME=value", beside ours
  std::filesystem::path folder;          ///< where it runs
  std::chrono::seconds limit{600};
};

struct ChildResult {
  enum class End { exited, signalled, timed_out, interrupted };
  End end = End::exited;
  int status = 0;      ///< the exit status, or the signal's number
  std::string output;  ///< of standard output
  std::string errors;  ///< of standard error
  double seconds = 0;

  bool succeeded() const noexcept { return end == End::exited && status == 0; }
  /// Somebody else ended it, us included: what it would have said is not known.
  bool was_stopped() const noexcept;
  /// "ended with exit status 1", "was ended by signal 11 (Segmentation fault)", "took longer than 600 s".
  std::string how_it_ended(const ChildCommand& command) const;
};

/// Runs it to its end. on_line gets each line of standard output as it comes. When the limit is over, or an
/// interruption is asked for (interrupt.h), the child's process group is told to end, and ten seconds later
/// made to. It ends with us, too. Throws std::runtime_error when no process can be started; a program that
/// does not exist ends with status 127.
///
/// Thread safety: one call at a time.
ChildResult run_child(const ChildCommand& command,
                      const std::function<void(const std::string& line)>& on_line = {});

/// As a shell takes it, to be repeated by hand from that folder.
std::string shell_text(const ChildCommand& command);

}  // namespace millrace::tool
