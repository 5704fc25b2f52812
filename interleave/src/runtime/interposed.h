// What runs see of the C++ library's ends of the world.
#pragma once

namespace interleave {

/// While it lives, std::terminate fails the run. assert and throw go through the checker all the time.
///
/// Thread safety: one at a time.
class Interposed {
 public:
  Interposed();
  ~Interposed();
  Interposed(const Interposed&) = delete;
  Interposed& operator=(const Interposed&) = delete;

 private:
  void (*before_)();
};

}  // namespace interleave
