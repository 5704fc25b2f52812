// The driver's events behind our own, over a driver that plays the device.
#include <gtest/gtest.h>
#include <millrace/c.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "backends/cuda/driver.h"
#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

/// Native work that ends when it is told to.
class Gate {
 public:
  explicit Gate(Stream stream) {
    const NativeRecorder native = stream.record_native();
    run_on_fake_stream(static_cast<CUstream>(native.stream()),
                       [opened = opened_.get_future().share()] { opened.wait(); });
  }
  ~Gate() { open(); }
  void open() {
    if (!std::exchange(is_open_, true)) opened_.set_value();
  }

 private:
  std::promise<void> opened_;
  bool is_open_ = false;
};

/// A stream that a caller has made with the driver.
class ForeignStream {
 public:
  ForeignStream() {
    CUcontext context = nullptr;
    static_cast<void>(cuda::driver().primary_context_retain(&context, 0));
    const cuda::ContextScope scope(context);
    static_cast<void>(cuda::driver().stream_create(&stream_, CU_STREAM_NON_BLOCKING, 0));
  }
  ~ForeignStream() { static_cast<void>(cuda::driver().stream_destroy(stream_)); }
  ForeignStream(const ForeignStream&) = delete;
  ForeignStream& operator=(const ForeignStream&) = delete;

  CUstream get() const { return stream_; }
  void wait_for(void* event) const {
    EXPECT_EQ(cuda::driver().stream_wait_event(stream_, static_cast<CUevent>(event), 0), CUDA_SUCCESS);
  }

 private:
  CUstream stream_ = nullptr;
};

bool is_done(void* event) {
  return cuda::driver().event_query(static_cast<CUevent>(event)) == CUDA_SUCCESS;
}

class NativeEvents : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(); }
  void TearDown() override { fail_fake_cuda(CUDA_SUCCESS); }

  Device device_ = Device::create("cuda:0");
  StreamLease lease_ = device_.lease();
  Stream stream_ = lease_.stream();
  Event event_ = device_.event();
};

TEST_F(NativeEvents, AForeignStreamWaitsForWhatIsMarkedAndNoMore) {
  const Buffer buffer = device_.buffer(stream_, 64);
  Gate before(stream_);
  stream_.fill(buffer.data(), 7, 64);
  event_.record(stream_);
  Gate after(stream_);
  stream_.commit();
  const ForeignStream foreign;
  foreign.wait_for(event_.native());
  std::atomic<int> seen = -1;
  run_on_fake_stream(foreign.get(), [&] { seen = buffer.as<std::uint8_t>()[63]; });
  EXPECT_TRUE(remains([&] { return seen == -1; }));
  EXPECT_FALSE(is_done(event_.native()));
  before.open();
  EXPECT_TRUE(eventually([&] { return seen != -1; }));
  EXPECT_EQ(seen, 7);
  EXPECT_TRUE(is_done(event_.native()));
  EXPECT_FALSE(stream_.query());
  after.open();
  stream_.wait();
}

TEST_F(NativeEvents, NothingOrDoneWorkIsDone) {
  EXPECT_TRUE(is_done(event_.native()));
  event_.record(stream_);
  EXPECT_TRUE(is_done(event_.native()));
  const Buffer buffer = device_.buffer(stream_, 64);
  stream_.fill(buffer.data(), 7, 64);
  event_.record(stream_);
  stream_.wait();
  Gate gate(stream_);
  stream_.commit();
  EXPECT_TRUE(is_done(event_.native()));
}

TEST_F(NativeEvents, WorkHasToBeCommitted) {
  const Buffer buffer = device_.buffer(stream_, 64);
  stream_.fill(buffer.data(), 7, 64);
  event_.record(stream_);
  expect_rule("event-not-committed", [&] { event_.native(); });
  stream_.commit();
  EXPECT_NE(event_.native(), nullptr);
  stream_.wait();
}

TEST_F(NativeEvents, TheHostHasNone) {
  const Device host = Device::create("host");
  Event event = Device(host).event();
  expect_code(ErrorCode::Unsupported, [&] { event.native(); });
  Stream stream = Device(host).stream();
  stream.run("work", [] {});
  event.record(stream);
  expect_code(ErrorCode::Unsupported, [&] { event.native(); });
}

// C8: the backend has its events at hand for whatever comes next; one that is lent is not among them.
TEST_F(NativeEvents, StandsForItsPointWhileTheBackendGoesOn) {
  const Buffer buffer = device_.buffer(stream_, 64);
  for (const bool asked_early : {true, false}) {
    SCOPED_TRACE(asked_early);
    stream_.fill(buffer.data(), 7, 64);
    event_.record(stream_);
    stream_.commit();
    if (asked_early) event_.native();
    stream_.wait();
    void* const native = event_.native();
    Gate gate(stream_);
    for (int i = 0; i < 20; ++i) {
      stream_.fill(buffer.data(), 8, 64);
      device_.event().record(stream_);
      stream_.commit();
    }
    EXPECT_EQ(event_.native(), native);
    EXPECT_TRUE(is_done(native)) << "it was recorded again for other work";
    gate.open();
    stream_.wait();
  }
}

// V6: and once the event marks something else, or has ended, it is among them again.
TEST_F(NativeEvents, AreUsedAgain) {
  const auto round = [&](Event& event) {
    stream_.run("held for a while", [] {});
    event.record(stream_);
    stream_.commit();
    event.native();
    stream_.wait();
    event.native();
  };
  for (int i = 0; i < 20; ++i) round(event_);
  const std::size_t events = fake_cuda_events();
  for (int i = 0; i < 200; ++i) {
    round(event_);
    Event shortlived = device_.event();
    round(shortlived);
  }
  EXPECT_LE(fake_cuda_events(), events + 4);
}

TEST_F(NativeEvents, TwoThatMarkTheSamePointDoNotTakeItFromEachOther) {
  Event other = device_.event();
  const Buffer buffer = device_.buffer(stream_, 64);
  stream_.fill(buffer.data(), 7, 64);
  event_.record(stream_);
  other.record(stream_);
  stream_.commit();
  void* const native = other.native();
  event_.native();
  stream_.wait();
  event_.reset();
  Gate gate(stream_);
  for (int i = 0; i < 5; ++i) {
    stream_.fill(buffer.data(), 8, 64);
    device_.event().record(stream_);
    stream_.commit();
  }
  EXPECT_TRUE(is_done(native));
  EXPECT_EQ(other.native(), native);
}

TEST_F(NativeEvents, WorkThatTheHostHoldsIsWaitedFor) {
  std::atomic<bool> ran = false;
  stream_.run("slow", [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ran = true;
  });
  event_.record(stream_);
  stream_.commit();
  EXPECT_TRUE(is_done(event_.native()));
  EXPECT_TRUE(ran);
  // Inside a host task that is refused, and needs no wait where the device has the work.
  StreamLease other = device_.lease();
  Event behind = device_.event(), ahead = device_.event();
  std::promise<void> go;
  stream_.run("held", [opened = go.get_future().share()] { opened.wait(); });
  behind.record(stream_);
  stream_.commit();
  ahead.record(stream_);
  other.stream().run("asks", [&] {
    expect_rule("wait-in-own-handler", [&] { behind.native(); });
    EXPECT_NE(event_.native(), nullptr);
    go.set_value();
  });
  other.stream().wait();
  stream_.wait();
}

TEST_F(NativeEvents, SaysWhatIsKnownToHaveFailed) {
  stream_.run("fails", [] { throw std::runtime_error("as told"); });
  event_.record(stream_);
  stream_.commit();
  expect_code(ErrorCode::WorkFailed, [&] { event_.native(); });
  expect_code(ErrorCode::WorkFailed, [&] { event_.native(); });
  Stream stream = device_.default_stream();
  const Buffer buffer = device_.buffer(stream, 64);
  fail_fake_cuda(CUDA_ERROR_ILLEGAL_ADDRESS);
  stream.fill(buffer.data(), 1, 64);
  expect_code(ErrorCode::DeviceLost, [&] { stream.wait(); });
  expect_code(ErrorCode::DeviceLost, [&] { device_.event().native(); });
}

// The other direction needs nothing of its own: the wait is work that the caller puts on the stream.
TEST_F(NativeEvents, AStreamWaitsForAForeignEvent) {
  const ForeignStream foreign;
  CUevent theirs = nullptr;
  ASSERT_EQ(cuda::driver().event_create(&theirs, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  std::promise<void> go;
  run_on_fake_stream(foreign.get(), [opened = go.get_future().share()] { opened.wait(); });
  ASSERT_EQ(cuda::driver().event_record(theirs, foreign.get()), CUDA_SUCCESS);
  {
    const NativeRecorder native = stream_.record_native();
    ASSERT_EQ(cuda::driver().stream_wait_event(static_cast<CUstream>(native.stream()), theirs, 0),
              CUDA_SUCCESS);
  }
  std::atomic<bool> ran = false;
  stream_.run("after it", [&] { ran = true; });
  stream_.commit();
  EXPECT_TRUE(remains([&] { return !ran; }));
  go.set_value();
  stream_.wait();
  EXPECT_TRUE(ran);
  static_cast<void>(cuda::driver().event_destroy(theirs));
}

TEST_F(NativeEvents, CapturedWorkHasNone) {
  Capture capture = device_.capture();
  Stream captured = capture.stream();
  const Buffer buffer = device_.buffer(captured, 64);
  captured.fill(buffer.data(), 1, 64);
  event_.record(captured);
  captured.commit();
  expect_rule("captured-event", [&] { event_.native(); });
  capture.abort();
}

TEST_F(NativeEvents, AfterTheClose) {
  event_.native();
  device_.close();
  expect_code(ErrorCode::Closed, [&] { event_.native(); });
  event_.reset();
}

// V6, C8: whatever it marks by then, what native gives stands for one of the records, all of which are done.
TEST_F(NativeEvents, WhileOtherThreadsRecord) {
  constexpr int kRecorders = 3, kAskers = 3, kRounds = 300;
  std::atomic<int> recording = kRecorders;
  on_threads(kRecorders + kAskers, [&](int number) {
    if (number < kRecorders) {
      const StreamLease lease = device_.lease();
      Stream stream = lease.stream();
      const Buffer buffer = device_.buffer(stream, 64);
      for (int i = 0; i < kRounds; ++i) {
        stream.fill(buffer.data(), 1, 64);
        stream.commit();
        event_.record(stream);
      }
      stream.wait();
      --recording;
      return;
    }
    const ForeignStream foreign;
    while (recording != 0) {
      EXPECT_NE(event_.native(), nullptr);
      std::this_thread::yield();
    }
  });
  void* const native = event_.native();
  EXPECT_TRUE(is_done(native));
  const std::size_t events = fake_cuda_events();
  EXPECT_LT(events, 1000u);
}

TEST_F(NativeEvents, FromC) {
  millrace_device* device = nullptr;
  ASSERT_EQ(millrace_device_open("cuda:0", 0, &device), MILLRACE_OK);
  millrace_lease* lease = nullptr;
  millrace_stream stream{};
  ASSERT_EQ(millrace_device_lease(device, &lease, &stream), MILLRACE_OK);
  millrace_native* recorder = nullptr;
  void* native = nullptr;
  ASSERT_EQ(millrace_stream_record_native(stream, &recorder, &native), MILLRACE_OK) << millrace_last_error();
  std::atomic<bool> ran = false;
  run_on_fake_stream(static_cast<CUstream>(native), [&] { ran = true; });
  EXPECT_EQ(millrace_stream_commit(stream), MILLRACE_INVALID_STATE);
  EXPECT_STREQ(millrace_last_rule(), "encoder-open-at-commit");
  millrace_native_end(recorder);
  millrace_event* event = nullptr;
  ASSERT_EQ(millrace_event_create(device, &event), MILLRACE_OK);
  ASSERT_EQ(millrace_event_record(event, stream), MILLRACE_OK);
  EXPECT_EQ(millrace_event_native(event, &native), MILLRACE_INVALID_STATE);
  ASSERT_EQ(millrace_stream_commit(stream), MILLRACE_OK);
  ASSERT_EQ(millrace_event_native(event, &native), MILLRACE_OK) << millrace_last_error();
  ASSERT_EQ(millrace_stream_wait(stream), MILLRACE_OK);
  EXPECT_TRUE(ran);
  EXPECT_TRUE(is_done(native));
  millrace_event_release(event);
  millrace_lease_end(lease);
  millrace_device_release(device);
}

}  // namespace
}  // namespace millrace::test
