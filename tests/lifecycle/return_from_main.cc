// main returns with seconds of work queued, and with threads inside every operation.
#include <chrono>

#include "lifecycle/every_operation.h"

int main() {
  using namespace millrace;
  test::limit_process(60);
  static Device device = test::busy_device();
  for (std::thread& thread : test::start_every_operation(device)) thread.detach();
  Stream stream = device.default_stream();
  for (int i = 0; i < 30; ++i) {
    stream.run("slow", [] { std::this_thread::sleep_for(std::chrono::milliseconds(200)); });
    stream.commit();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  return 0;
}
