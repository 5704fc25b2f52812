// NumPy and PyTorch as peers of the benches: a Python process that is asked for one measurement at a time, so
// that its rounds take turns with ours.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace millrace::tool {

/// A script of bench/peers, which says first which version of its library it has.
struct PeerScript {
  const char* key;   ///< "numpy": what the version is called in that answer
  const char* name;  ///< "NumPy"
  const char* text;
};
extern const PeerScript kNumpyPeer;
extern const PeerScript kTorchPeer;  ///< on a GPU; absent where there is none

/// The process that runs such a script; it ends with the object.
///
/// Thread safety: one thread at a time.
class PythonPeer {
 public:
  /// The system's interpreter first: it is the one that a distribution's NumPy belongs to.
  static std::vector<std::string> usual_interpreters() { return {"/usr/bin/python3", "python3"}; }

  /// Starts the first of these that has the library. None of them, or none given: it is absent, which is no
  /// error.
  PythonPeer(const PeerScript& script, const std::vector<std::string>& interpreters);
  PythonPeer(const PythonPeer&) = delete;
  PythonPeer& operator=(const PythonPeer&) = delete;
  ~PythonPeer() { end(); }

  bool present() const noexcept { return socket_ >= 0; }
  /// "NumPy 1.24.2, Python 3.11.2", or why it is absent.
  const std::string& description() const noexcept { return description_; }

  /// Sends a request and waits for its answer. Nothing once it is absent, and where an interruption came
  /// first; an error of the script makes it absent from then on, and description() says which.
  std::optional<nlohmann::json> ask(const nlohmann::json& request);

 private:
  bool start(const std::string& interpreter);
  void end() noexcept;
  bool send_line(const std::string& line) const;
  std::optional<nlohmann::json> receive();

  const PeerScript script_;
  int socket_ = -1;  // its standard input and output
  pid_t process_ = -1;
  std::string received_;  // past the last whole line
  std::string description_ = "absent: not asked for";
};

}  // namespace millrace::tool
