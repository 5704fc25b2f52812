// Objects that are destroyed before and after the library's own statics, and thread_local ones, use a
// device in their destructors: it works or it is Closed.
#include <optional>

#include "lifecycle/every_operation.h"

namespace {

using namespace millrace;

int destroyed = 0;

/// Everything that can be held of a device.
class Holder {
 public:
  Holder() = default;
  explicit Holder(const Device& device) { fill(device); }
  ~Holder() {
    if (!device_) return;
    ++destroyed;
    for (const test::Operation operation :
         {test::allocate_small, test::submit_and_wait, test::add_handlers, test::use_events,
          test::lease_streams, test::nest_guards, test::reduce_something, test::ask, test::synchronize,
          test::give_memory_back}) {
      try {
        operation(*device_);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::Closed)
          test::fail("a destructor's operation ended with", error.what());
      }
    }
    device_->deallocate(block_);
  }
  void fill(const Device& device) {
    device_ = device;
    buffer_ = device_->buffer(5000);
    block_ = device_->allocate(100);
    lease_ = device_->lease();
    event_ = device_->event();
    Stream stream = lease_.stream();
    stream.fill(buffer_.data(), 1, 5000);
    event_.record(stream);
    committed_ = stream.commit();
    stream.on_completed([](const Completion&) {});
    recording_ = stream.command_buffer();
  }

 private:
  std::optional<Device> device_;
  Buffer buffer_;
  void* block_ = nullptr;
  StreamLease lease_;
  Event event_;
  CommandBuffer committed_, recording_;
};

/// The first to be made, so the last to be destroyed.
struct Verdict {
  ~Verdict() { test::require(destroyed == 6, "not all destructors ran"); }
} verdict;

Holder before_the_library;  // its constructor does not use the library: destroyed after its statics
Device opened_while_starting = Device::open("host:5", {.streams = 64, .workers = 2});
Holder while_starting(opened_while_starting);
thread_local Holder before_the_context;

}  // namespace

int main() {
  test::limit_process(60);
  Device device = Device::create("host", {.streams = 64, .workers = 2});
  std::thread([&] {
    static_cast<void>(&before_the_context);
    before_the_context.fill(device);
    thread_local Holder after_the_context(device);
    static_cast<void>(&after_the_context);
  }).join();
  test::require(destroyed == 2, "the thread's objects were not destroyed with it");
  test::require(device.memory().live == 0, "the ended thread left memory behind");
  test::require(device.streams().leased == 0, "the ended thread left a stream behind");
  before_the_library.fill(device);
  before_the_context.fill(device);
  static Holder at_the_end(device);
  static_cast<void>(&at_the_end);
  return 0;
}
