// A process forks while its other threads are inside every operation: the child can neither use what it
// inherited nor hang on it, and the parent goes on.
#include <sys/wait.h>

#include <barrier>
#include <cerrno>
#include <chrono>
#include <iterator>

#include "lifecycle/every_operation.h"
#include "support/scale.h"

namespace {

using namespace millrace;
using millrace::test::fail;
using millrace::test::require;

bool in_child = false;

template <typename Call>
void expect_forked(const char* what, Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ForkedProcess) fail(what, error.what());
    return;
  }
  fail(what, "did not throw in a forked child");
}

struct Inherited {
  Device device;
  Buffer buffer;
  void* block;
  void* pinned;
  StreamLease lease;
  Event event;
  CommandBuffer commands;
};

void be_a_child(Inherited& of_parent) {
  in_child = true;
  test::limit_process(20);
  Device& device = of_parent.device;
  Stream stream = of_parent.lease.stream();
  expect_forked("allocate", [&] { device.allocate(100); });
  expect_forked("allocate_pinned", [&] { device.allocate_pinned(100); });
  expect_forked("capture", [&] { device.capture(); });
  expect_forked("wrap", [&] { device.wrap(nullptr); });
  expect_forked("stream", [&] { device.stream(); });
  expect_forked("lease", [&] { device.lease(); });
  expect_forked("event", [&] { device.event(); });
  expect_forked("memory", [&] { device.memory(); });
  expect_forked("trim", [&] { device.trim(); });
  expect_forked("synchronize", [&] { device.synchronize(); });
  expect_forked("fill", [&] { stream.fill(of_parent.block, 1, 8); });
  expect_forked("commit", [&] { stream.commit(); });
  expect_forked("wait", [&] { stream.wait(); });
  expect_forked("Event::record", [&] { of_parent.event.record(stream); });
  expect_forked("Event::wait", [&] { of_parent.event.wait(); });
  expect_forked("CommandBuffer::wait", [&] { of_parent.commands.wait(); });
  require(!device.is_open(), "a forked child's device says that it is open");
  // Frees and destructors do nothing, and return.
  device.deallocate(of_parent.block);
  device.deallocate(of_parent.pinned);
  of_parent.buffer.reset();
  of_parent.lease.reset();
  of_parent.event.reset();
  of_parent.commands = CommandBuffer();
  { const Device copy = device; }
  device = Device();
  std::exit(0);
}

std::vector<std::thread> start_and_park(Device& device, std::barrier<>& parked) {
  std::vector<std::thread> threads;
  for (const test::Operation operation : test::kEveryOperation) {
    threads.emplace_back([&device, &parked, operation] {
      for (int i = 0; i < 3; ++i) operation(device);
      parked.arrive_and_wait();
      parked.arrive_and_wait();  // the device has been closed
    });
  }
  parked.arrive_and_wait();
  device.synchronize();
  return threads;
}

}  // namespace

// What only the threads of the parent point to looks leaked in a child that has none of them.
extern "C" __attribute__((visibility("default"))) int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() {
  return in_child ? 1 : 0;
}
// The child makes no threads.
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {
  return "die_after_fork=0";
}

int main() {
  test::limit_process(240);
  const std::size_t forks = test::scaled(60, 4);
  Device device = test::busy_device();
  Inherited mine{device,
                 device.buffer(1000),
                 device.allocate(2000),
                 device.allocate_pinned(2000),
                 device.lease(),
                 device.event(),
                 {}};
  mine.lease.stream().run("task", [] {});
  mine.commands = mine.lease.stream().commit();
  // The sanitizers' allocators are not made for a fork: in a child their locks stay with the threads that
  // held them (ThreadSanitizer's too, in what it knows of each block). With them the threads have been inside
  // every operation, and are in none while the process forks; what a child finds there is the other builds'
  // to test.
  std::barrier parked(static_cast<std::ptrdiff_t>(std::size(test::kEveryOperation)) + 1);
  std::vector<std::thread> threads =
      test::kSanitized ? start_and_park(device, parked) : test::start_every_operation(device);
  for (std::size_t i = 0; i < forks; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(500 + 137 * (i % 20)));
    const pid_t child = ::fork();
    if (child == 0) be_a_child(mine);
    require(child > 0, "fork failed");
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) require(errno == EINTR, "waitpid failed");
    if (WIFSIGNALED(status)) std::fprintf(stderr, "child %zu: signal %d\n", i, WTERMSIG(status));
    require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked child did not end well");
    // The parent goes on.
    test::unless_out_of_memory(test::submit_and_wait, device);
  }
  device.close();
  if (test::kSanitized) parked.arrive_and_wait();
  for (std::thread& thread : threads) thread.join();
  return 0;
}
