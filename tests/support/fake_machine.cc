// What tests tell the machine of fake_cuda.h, and ask of it.
#include "support/fake_machine.h"

#include <cstddef>
#include <functional>
#include <mutex>
#include <utility>

#include "support/fake_cuda.h"

namespace millrace::test {

void take_fake_cuda_memory(std::size_t bytes) {
  const std::lock_guard lock(machine().mutex);
  machine().taken = bytes;
}

void set_fake_cuda_attribute(CUdevice_attribute which, int value) {
  const std::lock_guard lock(machine().mutex);
  machine().attributes[which] = value;
}

void before_fake_cuda(FakeCall call, std::function<void()> happens) {
  const std::lock_guard lock(machine().mutex);
  machine().interruptions[call] = std::move(happens);
}

std::size_t fake_cuda_dead_handles() {
  return machine().dead_handles.load();
}

std::size_t fake_cuda_questions() {
  return machine().questions.load();
}

std::size_t fake_cuda_calls() {
  return machine().calls.load();
}

std::size_t fake_cuda_events() {
  return machine().events.load();
}

std::size_t fake_cuda_registered() {
  const std::lock_guard lock(machine().mutex);
  std::size_t bytes = 0;
  for (const auto& [base, size] : machine().registered) bytes += size;
  return bytes;
}

std::size_t fake_cuda_mapped() {
  const std::lock_guard lock(machine().mutex);
  std::size_t bytes = 0;
  for (const auto& [address, mapping] : machine().mappings) bytes += mapping.memory.bytes;
  return bytes;
}

std::size_t fake_cuda_memory() {
  const std::lock_guard lock(machine().mutex);
  return machine().used;
}

}  // namespace millrace::test
