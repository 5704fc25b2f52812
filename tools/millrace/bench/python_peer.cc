#include "bench/python_peer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "bench/python_scripts.h"
#include "interrupt.h"

extern char** environ;

namespace millrace::tool {
namespace {

constexpr int kLookMilliseconds = 50;  // between looks at an interruption

/// Starts `interpreter -c script` with the socket as standard input and output; -1 with errno set.
pid_t spawn(const std::string& interpreter, const char* text, int socket) {
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, socket, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, socket, STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  // A process group of its own: the terminal's Ctrl-C is for us, who then end it.
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  std::string name = interpreter;
  std::string option = "-c";
  std::string script = text;
  const std::array<char*, 4> arguments{name.data(), option.data(), script.data(), nullptr};
  pid_t process = -1;
  const int error = ::posix_spawnp(&process, name.c_str(), &files, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  errno = error;
  return error == 0 ? process : -1;
}

}  // namespace

const PeerScript kNumpyPeer{"numpy", "NumPy", kNumpyScript};
const PeerScript kTorchPeer{"torch", "PyTorch", kTorchScript};

PythonPeer::PythonPeer(const PeerScript& script, const std::vector<std::string>& interpreters)
    : script_(script) {
  std::string reasons;
  for (const std::string& interpreter : interpreters) {
    if (start(interpreter)) return;
    reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", interpreter, description_);
  }
  if (!reasons.empty()) description_ = "absent: " + reasons;
}

bool PythonPeer::start(const std::string& interpreter) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    description_ = std::generic_category().message(errno);
    return false;
  }
  process_ = spawn(interpreter, script_.text, ends[1]);
  const int error = errno;
  ::close(ends[1]);
  socket_ = ends[0];
  if (process_ < 0) {
    end();
    description_ = std::generic_category().message(error);
    return false;
  }
  const std::optional<nlohmann::json> hello = receive();
  if (hello && hello->contains(script_.key)) {
    description_ = fmt::format("{} {}, Python {}", script_.name, hello->value(script_.key, ""),
                               hello->value("python", ""));
    return true;
  }
  end();
  description_ = hello ? hello->value("absent", "not the answer of our script") : "ended without a word";
  return false;
}

void PythonPeer::end() noexcept {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  if (process_ > 0) {
    // It keeps nothing that would need an orderly end, and may be in the middle of minutes of work.
    ::kill(process_, SIGKILL);
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  process_ = -1;
  received_.clear();
}

bool PythonPeer::send_line(const std::string& line) const {
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t now = ::send(socket_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return false;
    sent += static_cast<std::size_t>(now);
  }
  return true;
}

std::optional<nlohmann::json> PythonPeer::receive() {
  std::array<char, 65536> chunk{};
  for (;;) {
    if (const std::size_t line_end = received_.find('\n'); line_end != std::string::npos) {
      nlohmann::json answer = nlohmann::json::parse(received_.substr(0, line_end), nullptr, false);
      received_.erase(0, line_end + 1);
      if (!answer.is_object()) return std::nullopt;
      return answer;
    }
    if (interrupted()) return std::nullopt;
    pollfd readable{socket_, POLLIN, 0};
    if (::poll(&readable, 1, kLookMilliseconds) <= 0) continue;
    const ssize_t now = ::recv(socket_, chunk.data(), chunk.size(), 0);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return std::nullopt;
    received_.append(chunk.data(), static_cast<std::size_t>(now));
  }
}

std::optional<nlohmann::json> PythonPeer::ask(const nlohmann::json& request) {
  if (!present()) return std::nullopt;
  std::optional<nlohmann::json> answer;
  if (send_line(request.dump() + "\n")) answer = receive();
  if (interrupted()) return std::nullopt;
  if (answer && !answer->contains("error")) return answer;
  description_ =
      "absent: " + (answer ? answer->value("error", "no reason given") : "it ended while it worked");
  end();
  return std::nullopt;
}

}  // namespace millrace::tool
