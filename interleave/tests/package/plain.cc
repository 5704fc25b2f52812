#include <interleave/interleave.h>
#include <cstdio>
int main() {
  const auto result = interleave::check([] {
    int count = 0;
    interleave::thread other([&] { ++count; });
    ++count;
    other.join();
  });
  std::puts(interleave::summary(result).c_str());
  return result.verdict == interleave::Verdict::race ? 0 : 1;
}
