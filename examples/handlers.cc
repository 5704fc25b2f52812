// Handlers: functions that hear how a command buffer went, on a thread of the device, exactly once.
#include <millrace/millrace.h>

#include <cstdio>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

/// What the handlers heard, in the order in which they heard it.
class Log {
 public:
  void add(const std::string& what, const millrace::Completion& completion) {
    std::string line = what + ": " + millrace::to_string(completion.status);
    try {
      if (completion.error) std::rethrow_exception(completion.error);
    } catch (const millrace::Error& error) {
      line += ", " + std::string(to_string(error.code()));
    }
    const std::lock_guard lock(mutex_);
    std::printf("%s\n", line.c_str());
    lines_.push_back(std::move(line));
  }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace

int main() {
  millrace::Device device = millrace::Device::open();
  millrace::Stream stream = device.stream();
  Log log;

  // Handlers belong to the command buffer that is being recorded when they are added.
  millrace::Buffer buffer = device.buffer(4096);
  stream.fill(buffer.data(), 0xff, buffer.size());
  stream.on_scheduled([&](const millrace::Completion& completion) { log.add("fill scheduled", completion); });
  stream.on_completed([&](const millrace::Completion& completion) { log.add("fill done", completion); });
  stream.wait();

  // A failure comes to the handler, and once more to whoever waits. (Tasks are a feature of the host
  // device: device.info().host_tasks.)
  stream.run("parse", [] { throw std::runtime_error("line 7: not a number"); });
  stream.on_completed([&](const millrace::Completion& completion) { log.add("parse done", completion); });
  bool told = false;
  try {
    stream.wait();
  } catch (const millrace::Error& error) {
    std::printf("wait: %s\n", error.what());
    told = error.code() == millrace::ErrorCode::WorkFailed;
  }

  // A handler may allocate, record and commit: here it starts the next piece of work.
  stream.run("first", [] {});
  stream.on_completed([&](const millrace::Completion&) {
    stream.fill(buffer.data(), 0x01, buffer.size());
    stream.on_completed(
        [&](const millrace::Completion& completion) { log.add("follow-up done", completion); });
    stream.commit();
  });
  stream.commit();

  // Waiting for a stream means its work, not its handlers. Closing waits for both.
  while (log.lines().size() < 4) device.synchronize();
  device.close();

  const std::vector<std::string> expected = {"fill scheduled: scheduled", "fill done: completed",
                                             "parse done: failed, WorkFailed", "follow-up done: completed"};
  return told && log.lines() == expected ? 0 : 1;
}
