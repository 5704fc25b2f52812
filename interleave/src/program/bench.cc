// interleave bench: how fast programs of known size are explored.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <iostream>
#include <vector>

#include "interleave/interleave.h"
#include "program/commands.h"
#include "runtime/exploration.h"

namespace interleave {
namespace {

constexpr auto rlx = std::memory_order_relaxed;
constexpr auto acq = std::memory_order_acquire;
constexpr auto rel = std::memory_order_release;

/// Runs body(i) in so many threads and joins them.
template <typename F>
void threads(int count, const F& body) {
  thread all[16];
  for (int i = 0; i < count; ++i) all[i] = thread([&body, i] { body(i); });
  for (int i = 0; i < count; ++i) all[i].join();
}

void big1() {
  atomic<int> x[4] = {0, 0, 0, 0};
  threads(4, [&](int t) {
    if (t < 2) {
      for (int k = 0; k < (t == 0 ? 8 : 6); ++k) (void)x[k % 4].load(acq);
      return;
    }
    for (int k = 1; k <= 3; ++k) {
      x[2 * t - 4].store(k, rel);
      x[2 * t - 3].store(k, rel);
    }
  });
}

void fib_bench() {
  atomic<int> x[2] = {1, 1};
  threads(3, [&](int t) {
    if (t < 2) {
      for (int k = 0; k < 5; ++k) {
        const int a = x[0].load(acq);
        const int b = x[1].load(acq);
        x[t].store(a + b, rel);
      }
    } else if (x[0].load(acq) <= 144) {
      expect(x[1].load(acq) <= 144);
    }
  });
}

template <int N>
void lastzero() {
  atomic<int> x[N + 1] = {};
  threads(N + 1, [&](int t) {
    if (t == 0) {
      for (int i = N; x[i].load(acq) != 0;) --i;
    } else {
      x[t].store(x[t - 1].load(acq) + 1, rel);
    }
  });
}

template <int N>
void ainc() {
  atomic<int> x = 0;
  threads(N, [&](int) { x.fetch_add(1, rlx); });
}

template <int N>
void casrot() {
  atomic<int> x = 0;
  threads(N, [&](int t) {
    int expected = t;
    x.compare_exchange_strong(expected, t + 1, rlx);
  });
}

template <int N>
void lockinc() {
  mutex lock;
  var<int> x = 0;
  threads(N, [&](int) {
    lock.lock();
    x.set(x.get() + 1);
    lock.unlock();
  });
}

template <int N>
void storebuffer_sc() {
  atomic<int> x[N] = {};
  threads(N, [&](int t) {
    for (int k = 0; k < 2; ++k) {
      x[t].store(k + 1);
      (void)x[(t + 1) % N].load();
    }
  });
}

struct Bench {
  const char* name;
  void (*body)();
  std::uint64_t executions;  // what is right; 0: not known from elsewhere
};

constexpr Bench kBenches[] = {
    {"big1", &big1, 2950753},        {"fib_bench", &fib_bench, 525630}, {"lastzero15", &lastzero<15>, 147456},
    {"ainc7", &ainc<7>, 5040},       {"ainc9", &ainc<9>, 362880},       {"casrot9", &casrot<9>, 8597},
    {"lockinc7", &lockinc<7>, 5040}, {"lockinc9", &lockinc<9>, 362880}, {"sb_sc4", &storebuffer_sc<4>, 0},
};

bool run(const Bench& bench, const Options& options) {
  const Result result = explore(options, bench.body, nullptr, nullptr);  // whatever the environment says
  const bool right = result.proved() && (bench.executions == 0 || result.executions == bench.executions);
  std::printf("%-12s executions=%llu blocked=%llu seconds=%.3f executions/s=%.0f%s\n", bench.name,
              static_cast<unsigned long long>(result.executions),
              static_cast<unsigned long long>(result.blocked), result.seconds,
              static_cast<double>(result.executions) / result.seconds,
              right ? "" : (" WRONG: " + summary(result)).c_str());
  std::fflush(stdout);
  return right;
}

}  // namespace

int bench_command(const std::vector<std::string>& arguments) {
  Options options;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--workers") {
      const std::string number = ++i < arguments.size() ? arguments[i] : "";
      const auto [end, error] =
          std::from_chars(number.data(), number.data() + number.size(), options.workers);
      if (error != std::errc() || end != number.data() + number.size() || options.workers < 1 ||
          options.workers > 64) {
        std::cerr << "interleave bench: --workers takes 1 to 64, not '" << number << "'\n";
        return 2;
      }
    } else if (arguments[i] == "--help" || arguments[i] == "-h") {
      std::cout << kBenchUsage;
      return 0;
    } else if (!arguments[i].empty() && arguments[i][0] == '-') {
      std::cerr << "interleave bench: unknown option " << arguments[i] << "\n" << kBenchUsage;
      return 2;
    } else {
      names.push_back(arguments[i]);
    }
  }
  bool right = true;
  for (const std::string& wanted : names) {
    const auto* found = std::find_if(std::begin(kBenches), std::end(kBenches),
                                     [&](const Bench& b) { return wanted == b.name; });
    if (found == std::end(kBenches)) {
      std::cerr << "interleave bench: no bench is called " << wanted << "; there are";
      for (const Bench& bench : kBenches) std::cerr << " " << bench.name;
      std::cerr << "\n";
      return 2;
    }
    right = run(*found, options) && right;
  }
  if (names.empty()) {
    for (const Bench& bench : kBenches) right = run(bench, options) && right;
  }
  return right ? 0 : 1;
}

}  // namespace interleave
