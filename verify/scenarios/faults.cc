// The backend refuses work or memory, the first time, the second or the third.
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

// Of three buffers one is refused: it fails alone, and the handlers of all three are told.
const Register work(
    "backend.refuses_any_one_submission", "S4 S7 H1 B1",
    [] {
      constexpr unsigned kBuffers = 3;
      unsigned ran = 0, completed = 0, failed = 0;
      {
        TinyDevice device(by_hand({.streams = 2}));
        const StreamId stream = device.streams().default_stream();
        const unsigned refused = interleave::choose(kBuffers);
        for (unsigned i = 0; i < kBuffers; ++i) {
          device.streams().record(stream, task([&] { ++ran; }), "run");
          device.streams().add_handler(
              stream, HandlerKind::completed,
              [&](const Completion& completion) {
                ++(completion.status == BufferStatus::failed ? failed : completed);
              },
              "test");
          device.backend().refuse(i == refused ? Status(ErrorCode::DeviceLost, "gone") : Status());
          static_cast<void>(device.streams().commit(stream, "commit"));
        }
        device.backend().refuse({});
        thread runs([&] { device.backend().run_all(); });
        runs.join();
        INTERLEAVE_EXPECT(device.streams().timeline(stream.slot).completed() == kBuffers);
      }
      INTERLEAVE_EXPECT(ran == kBuffers - 1 && completed == kBuffers - 1 && failed == 1);
    },
    with_device());

// Memory that the backend has not is said to be missing, or found where it is; none is lost.
const Register memory(
    "backend.refuses_memory_once", "M1 M2 O1",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device);
      const ErrorCode code = interleave::choose(2) == 0 ? ErrorCode::OutOfMemory : ErrorCode::DeviceLost;
      device.backend().refuse_memory(static_cast<int>(interleave::choose(3)), Status(code, "none"));
      void* blocks[2] = {};
      thread owner([&] {
        for (void*& block : blocks) {
          try {
            block = device.memory().allocate(mine.get(), 1, kGranule, kUnit);
          } catch (const Error& error) {
            INTERLEAVE_EXPECT(error.code() == code);
          }
        }
      });
      owner.join();
      device.memory().check_accounting();
      for (void* block : blocks) {
        if (block == nullptr) block = device.memory().allocate(mine.get(), 1, kGranule, kUnit);
        device.memory().deallocate(mine.get(), block, OnMisuse::raise);
      }
      device.memory().trim();
      device.memory().check_accounting();
      INTERLEAVE_EXPECT(device.backend().committed() == 0);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
