// Plain data without a wrapper, rightly shared: nothing is reported, and it costs no executions.
#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, PlainDataBehindAMutex) {
  expect_executions(6, [] {
    mutex lock;
    int count = 0;
    const auto work = [&] {
      const std::lock_guard guard(lock);
      ++count;
    };
    parallel(work, work, work);
    INTERLEAVE_EXPECT(count == 3);
  });
}

TEST(Correct, PlainNeighboursInOneArray) {
  expect_executions(1, [] {
    std::array<char, 3> bytes{};
    parallel([&] { bytes[0] = 1; }, [&] { bytes[1] = 2; }, [&] { bytes[2] = 3; });
    INTERLEAVE_EXPECT(bytes[0] + bytes[1] + bytes[2] == 6);
  });
}

TEST(Correct, PlainStringHandedOver) {
  expect_executions(2, [] {
    std::string text;
    atomic<bool> ready{false};
    parallel(
        [&] {
          text = "a text that is too long for the small string optimisation";
          ready.store(true, memory_order_release);
        },
        [&] {
          if (ready.load(memory_order_acquire)) INTERLEAVE_EXPECT(text.size() > 40);
        });
  });
}

TEST(Correct, PlainVectorGrowsUnderALock) {
  expect_executions(2, [] {
    mutex lock;
    std::vector<int> values;
    const auto work = [&](int value) {
      const std::lock_guard guard(lock);
      values.push_back(value);
    };
    parallel([&] { work(1); }, [&] { work(2); });
    INTERLEAVE_EXPECT(values.size() == 2);
  });
}

TEST(Correct, PlainMemoryIsReusedAfterAJoin) {
  expect_executions(1, [] {
    for (int round = 0; round < 2; ++round) {
      auto object = std::make_unique<int>(0);
      parallel([&] { *object = round; });
      INTERLEAVE_EXPECT(*object == round);
    }
  });
}

TEST(Correct, PlainExceptionsInTwoThreads) {
  expect_executions(2, [] {
    atomic<int> order{0};
    int caught[2] = {};
    const auto work = [&](int me) {
      try {
        throw std::runtime_error("mine");
      } catch (const std::runtime_error&) {
        order.fetch_add(1, memory_order_relaxed);  // the other thread's exception is alive here too
        try {
          throw;
        } catch (const std::runtime_error& error) {
          caught[me] = std::string(error.what()) == "mine";
        }
      }
    };
    parallel([&] { work(0); }, [&] { work(1); });
    INTERLEAVE_EXPECT(caught[0] == 1 && caught[1] == 1);
  });
}

struct Shared {
  atomic<int> flag{0};
  int value = 0;
};

// Nobody in the child of a fork goes on with what another thread of the parent was using.
TEST(Correct, PlainDataThatTheChildEnds) {
  expect_proved([] {
    auto shared = std::make_unique<Shared>();
    thread other([&] {
      shared->flag.store(1);
      shared->value = shared->value + 1;
    });
    if (fork() == 0) {
      shared->value = 2;
      shared.reset();
      other.detach();
    } else {
      other.join();
    }
  });
}

}  // namespace
}  // namespace interleave::test
