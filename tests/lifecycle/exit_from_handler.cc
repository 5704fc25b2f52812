// A handler calls exit while others are inside every operation.
#include <chrono>

#include "lifecycle/every_operation.h"

int main() {
  using namespace millrace;
  test::limit_process(60);
  Device device = test::busy_device();
  for (std::thread& thread : test::start_every_operation(device)) thread.detach();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  Stream stream = device.default_stream();
  stream.run("task", [] {});
  stream.on_completed([](const Completion&) { std::exit(0); });
  stream.commit();
  test::wait_to_be_ended();
}
