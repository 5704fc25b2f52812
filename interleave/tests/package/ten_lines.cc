#include <interleave/interleave.h>
#include <cstdio>
int main() {
  const auto result = interleave::check([] {
    interleave::atomic<int> count{0};
    interleave::thread other([&] { count.store(count.load() + 1); });
    count.store(count.load() + 1);
    other.join();
    INTERLEAVE_EXPECT(count.load() == 2);
  });
  std::puts(interleave::summary(result).c_str());
  return result.verdict == interleave::Verdict::assertion ? 0 : 1;
}
