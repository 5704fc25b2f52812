#include "in_processes.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <system_error>
#include <vector>

namespace millrace::verify {
namespace {

struct Child {
  std::size_t number = 0;
  pid_t process = 0;
  int pipe = -1;
  std::string returned;
};

[[noreturn]] void throw_system_error(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

bool write_all(int file, const std::string& text) {
  for (std::size_t written = 0; written < text.size();) {
    const ssize_t more = ::write(file, text.data() + written, text.size() - written);
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) return false;
    written += static_cast<std::size_t>(more);
  }
  return true;
}

Child start(std::size_t number, const std::function<std::string(std::size_t)>& work) {
  int ends[2];
  if (::pipe(ends) != 0) throw_system_error("a pipe");
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process < 0) throw_system_error("a process");
  if (process != 0) {
    ::close(ends[1]);
    return {number, process, ends[0], {}};
  }
  ::close(ends[0]);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  int status = 1;
  if (::getppid() == parent) {
    try {
      status = write_all(ends[1], work(number)) ? 0 : 1;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
  }
  std::fflush(nullptr);
  ::_exit(status);
}

std::string end_of(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0) {
    if (errno != EINTR) throw_system_error("waiting for a process");
  }
  if (WIFSIGNALED(status)) return std::string("its process was ended by ") + ::strsignal(WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) return "its process ended with status " + std::to_string(WEXITSTATUS(status));
  return {};
}

/// Takes what the child has written; false once that was all.
bool read_some(Child& child) {
  char text[65536];
  const ssize_t more = ::read(child.pipe, text, sizeof text);
  if (more < 0 && errno == EINTR) return true;
  if (more <= 0) return false;
  child.returned.append(text, static_cast<std::size_t>(more));
  return true;
}

}  // namespace

void in_processes(
    std::size_t count, unsigned most, const std::function<std::string(std::size_t)>& work,
    const std::function<void(std::size_t, const std::string& returned, const std::string& ended)>& done) {
  std::vector<Child> running;
  for (std::size_t next = 0; next < count || !running.empty();) {
    if (next < count && running.size() < most) {
      running.push_back(start(next++, work));
      continue;
    }
    std::vector<pollfd> waits;
    for (const Child& child : running) waits.push_back({child.pipe, POLLIN, 0});
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
      throw_system_error("waiting for processes");
    for (std::size_t i = running.size(); i-- > 0;) {
      if (waits[i].revents == 0 || read_some(running[i])) continue;
      const Child child = std::move(running[i]);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      ::close(child.pipe);
      done(child.number, child.returned, end_of(child.process));
    }
  }
}

}  // namespace millrace::verify
