// A thread calls exit while others are inside every operation.
#include <chrono>

#include "lifecycle/every_operation.h"

int main() {
  using namespace millrace;
  test::limit_process(60);
  Device device = test::busy_device();
  for (std::thread& thread : test::start_every_operation(device)) thread.detach();
  std::thread([device] {
    Buffer buffer = Device(device).buffer(1000);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    std::exit(0);
  }).detach();
  test::wait_to_be_ended();
}
