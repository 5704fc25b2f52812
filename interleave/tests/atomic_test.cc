// interleave::atomic does with values what std::atomic does, in a run and outside of one.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "interleave/interleave.h"

namespace interleave::test {
namespace {

/// The same code in a run and outside.
template <typename F>
void both(F body) {
  body([](bool condition) { EXPECT_TRUE(condition); });
  const Result result = check([&] { body([](bool condition) { expect(condition); }); });
  EXPECT_TRUE(result.proved()) << result.report;
  EXPECT_EQ(result.executions, 1U);
}

TEST(Atomic, Integers) {
  both([](auto that) {
    atomic<int> x{10};
    that(x.fetch_add(5) == 10);
    that(x.fetch_sub(20) == 15);
    that(x.load() == -5);
    that(x.exchange(12) == -5);
    that(x.fetch_and(10) == 12);
    that(x.fetch_or(3) == 8);
    that(x.fetch_xor(1) == 11);
    that(++x == 11 && x++ == 11 && --x == 11 && x-- == 11);
    that((x += 5) == 15 && (x -= 1) == 14 && (x &= 6) == 6 && (x |= 1) == 7 && (x ^= 2) == 5);
    x = 3;
    that(x == 3);
  });
}

TEST(Atomic, SmallIntegersWrap) {
  both([](auto that) {
    atomic<std::uint8_t> x{250};
    that(x.fetch_add(10) == 250);
    that(x.load() == 4);
    atomic<std::int16_t> y{-32768};
    that(y.fetch_sub(1) == -32768);
    that(y.load() == 32767);
  });
}

// Of atomics the standard says that they wrap: compilers must not take the sum for larger.
TEST(Atomic, SignedIntegersWrap) {
  both([](auto that) {
    atomic<int> x{std::numeric_limits<int>::max()};
    int k = ++x;
    that(k < 0);
    k = --x;
    that(k > 0);
    k = x += 2;
    that(k < 0 && k == std::numeric_limits<int>::min() + 1);
    k = x -= 5;
    that(k > 0 && k == std::numeric_limits<int>::max() - 3);
    atomic<std::int64_t> y{std::numeric_limits<std::int64_t>::min()};
    that((y -= 1) > 0 && ++y < 0);
  });
}

TEST(Atomic, Pointers) {
  both([](auto that) {
    int array[4] = {};
    atomic<int*> x{array};
    that(x.fetch_add(2) == array);
    that(x.load() == array + 2);
    that(x.fetch_sub(1) == array + 2);
    that(++x == array + 2);
    that((x -= 2) == array);
    int* expected = array + 1;
    that(!x.compare_exchange_strong(expected, nullptr));
    that(expected == array);
    that(x.compare_exchange_weak(expected, nullptr));
    that(x.load() == nullptr);
  });
}

TEST(Atomic, FloatingPoint) {
  both([](auto that) {
    atomic<double> x{1.5};
    that(x.fetch_add(2.25) == 1.5);
    that(x.fetch_sub(0.75) == 3.75);
    that(x.load() == 3.0);
    atomic<float> y{0.5F};
    that(y.fetch_add(0.25F) == 0.5F);
    that(y.load() == 0.75F);
  });
}

TEST(Atomic, EnumsAndStructs) {
  enum class Colour : std::uint8_t { red, green };
  struct Pair {
    int first;
    short second;
  };
  both([](auto that) {
    atomic<Colour> colour{Colour::red};
    that(colour.exchange(Colour::green) == Colour::red);
    that(colour.load() == Colour::green);
    atomic<Pair> pair{Pair{-1, 2}};
    const Pair seen = pair.load();
    that(seen.first == -1 && seen.second == 2);
    atomic<bool> flag{false};
    that(!flag.exchange(true));
    that(flag);
  });
}

TEST(Atomic, CompareExchangeFailsOnlyWhereValuesDiffer) {
  both([](auto that) {
    atomic<int> x{1};
    int expected = 2;
    that(!x.compare_exchange_weak(expected, 3, memory_order_relaxed, memory_order_relaxed));
    that(expected == 1);
    that(x.compare_exchange_weak(expected, 3, memory_order_relaxed));
    that(x.load() == 3);
  });
}

TEST(Atomic, Flag) {
  both([](auto that) {
    atomic_flag flag;
    that(!flag.test());
    that(!flag.test_and_set());
    that(flag.test_and_set());
    flag.clear();
    that(!flag.test());
  });
}

}  // namespace
}  // namespace interleave::test
