// Words on the device in which the blocks of a split reduction count how many of them have ended.
#pragma once

namespace millrace::cuda {

/// kMostSplitTiles words that are 0 between reductions, for one stream's use. There are some for a few
/// hundred streams of the process; what is not to be had is not needed (launch_reduce).
///
/// Thread safety: one thread at a time.
class Tickets {
 public:
  Tickets() = default;
  Tickets(const Tickets&) = delete;
  Tickets& operator=(const Tickets&) = delete;
  ~Tickets() { give_back(); }

  /// Of the device whose context is current, always the same one. Null where all are taken.
  unsigned* words() noexcept;
  /// No reduction uses them any more.
  void give_back() noexcept;

 private:
  int number_ = -1;
  unsigned* words_ = nullptr;
};

}  // namespace millrace::cuda
