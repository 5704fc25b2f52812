#include "verify/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>

#include "interrupt.h"

namespace millrace::tool {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLookMilliseconds = 50;  // between looks at the time and at an interruption
constexpr std::chrono::seconds kGrace{10};
constexpr int kCannotRun = 127;  // as shells say it

[[noreturn]] void fail(const char* what) {
  throw std::runtime_error(fmt::format("cannot {}: {}", what, std::generic_category().message(errno)));
}

class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) fail("make a pipe");
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_reader();
    close_writer();
  }
  int reader() const noexcept { return ends_[0]; }
  int writer() const noexcept { return ends_[1]; }
  void close_reader() noexcept { close(ends_[0]); }
  void close_writer() noexcept { close(ends_[1]); }
  bool is_open() const noexcept { return ends_[0] >= 0; }

  /// What there is to read; closes the reader at the end.
  std::string take() {
    std::array<char, 65536> chunk{};
    const ssize_t count = ::read(reader(), chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) return {};
    if (count <= 0) {
      close_reader();
      return {};
    }
    return {chunk.data(), static_cast<std::size_t>(count)};
  }

 private:
  static void close(int& end) noexcept {
    if (end >= 0) ::close(end);
    end = -1;
  }
  std::array<int, 2> ends_{-1, -1};
};

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  result.reserve(words.size() + 1);
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> whole_environment(const ChildCommand& command) {
  std::vector<std::string> all = command.environment;
  const auto is_ours = [&](const std::string& entry) {
    for (const std::string& own : command.environment) {
      if (entry.starts_with(own.substr(0, own.find('=') + 1))) return true;
    }
    return false;
  };
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!is_ours(*entry)) all.emplace_back(*entry);
  }
  return all;
}

pid_t start(const ChildCommand& command, const Pipe& output, const Pipe& errors) {
  std::vector<std::string> words = command.arguments, environment = whole_environment(command);
  const std::vector<char*> arguments = pointers(words), variables = pointers(environment);
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process < 0) fail("start a process");
  if (process > 0) return process;
  // In the child: nothing that takes a lock or memory.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kCannotRun);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const bool ready = nothing >= 0 && ::dup2(nothing, STDIN_FILENO) >= 0 &&
                     ::dup2(output.writer(), STDOUT_FILENO) >= 0 &&
                     ::dup2(errors.writer(), STDERR_FILENO) >= 0 && ::chdir(command.folder.c_str()) == 0;
  if (ready) ::execvpe(arguments[0], arguments.data(), variables.data());
  static constexpr char kLine[] = "cannot be run\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kLine, sizeof(kLine) - 1);
  ::_exit(kCannotRun);
}

/// Hands over whole lines and keeps the rest.
void hand_over(std::string& partial, const std::function<void(const std::string&)>& on_line) {
  std::size_t begin = 0;
  for (std::size_t end; (end = partial.find('\n', begin)) != std::string::npos; begin = end + 1) {
    if (on_line) on_line(partial.substr(begin, end - begin));
  }
  partial.erase(0, begin);
}

}  // namespace

ChildResult run_child(const ChildCommand& command, const std::function<void(const std::string&)>& on_line) {
  Pipe output, errors;
  const Clock::time_point begin = Clock::now();
  const pid_t process = start(command, output, errors);
  // Also here: whoever comes first, the group exists before it is signalled.
  ::setpgid(process, process);
  output.close_writer();
  errors.close_writer();

  ChildResult result;
  std::string partial;
  Clock::time_point kill_at = Clock::time_point::max();
  const auto end_group = [&](ChildResult::End why) {
    result.end = why;
    kill_at = Clock::now() + kGrace;
    ::kill(-process, SIGTERM);
  };
  int status = 0;
  for (bool running = true; running || output.is_open() || errors.is_open();) {
    std::array<pollfd, 2> readable{{{output.reader(), POLLIN, 0}, {errors.reader(), POLLIN, 0}}};
    ::poll(readable.data(), readable.size(), kLookMilliseconds);
    if (readable[0].revents != 0) {
      const std::string text = output.take();
      result.output += text;
      partial += text;
      hand_over(partial, on_line);
    }
    if (readable[1].revents != 0) result.errors += errors.take();
    if (running && ::waitpid(process, &status, WNOHANG) == process) {
      running = false;
      // What it left running holds the pipes, and is of no use to anybody.
      if (kill_at == Clock::time_point::max()) kill_at = Clock::now() + kGrace;
    }
    if (running && kill_at == Clock::time_point::max()) {
      if (interrupted()) end_group(ChildResult::End::interrupted);
      if (Clock::now() - begin > command.limit) end_group(ChildResult::End::timed_out);
    }
    if (Clock::now() > kill_at) {
      ::kill(-process, SIGKILL);
      if (!running) break;
    }
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (result.end != ChildResult::End::exited) return result;
  if (WIFSIGNALED(status)) result.end = ChildResult::End::signalled;
  result.status = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

bool ChildResult::was_stopped() const noexcept {
  if (end == End::signalled) {
    return status == SIGHUP || status == SIGINT || status == SIGTERM || status == SIGKILL;
  }
  return end != End::exited;
}

std::string ChildResult::how_it_ended(const ChildCommand& command) const {
  switch (end) {
    case End::exited: break;
    case End::signalled: return fmt::format("was ended by signal {} ({})", status, ::strsignal(status));
    case End::timed_out: return fmt::format("took longer than {} s", command.limit.count());
    case End::interrupted: return "was interrupted";
  }
  return fmt::format("ended with exit status {}", status);
}

std::string shell_text(const ChildCommand& command) {
  std::string text;
  const auto add = [&](const std::string& word) {
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_-./=:,+@%") == std::string::npos;
    std::string quoted = word;
    if (!plain) {
      for (std::size_t at = 0; (at = quoted.find('\'', at)) != std::string::npos; at += 4) {
        quoted.replace(at, 1, "'\\''");
      }
      quoted = "'" + quoted + "'";
    }
    text += (text.empty() ? "" : " ") + quoted;
  };
  for (const std::string& variable : command.environment) add(variable);
  for (const std::string& argument : command.arguments) add(argument);
  return text;
}

}  // namespace millrace::tool
