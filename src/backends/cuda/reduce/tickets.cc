#include "backends/cuda/reduce/tickets.h"

#include <bitset>
#include <cstddef>

#include "backends/cuda/reduce/ticket_words.h"
#include "sync/mutex.h"

namespace millrace::cuda {
namespace {

/// The sets of the process; one is taken on all devices at once.
struct Sets {
  sync::Mutex mutex;
  std::bitset<kTicketSets> taken GUARDED_BY(mutex);
};

Sets& sets() {
  static Sets all;
  return all;
}

}  // namespace

unsigned* Tickets::words() noexcept {
  if (words_ != nullptr) return words_;
  if (number_ < 0) {
    Sets& all = sets();
    sync::LockGuard lock(all.mutex);
    for (int i = 0; i < kTicketSets && number_ < 0; ++i) {
      if (all.taken.test(static_cast<std::size_t>(i))) continue;
      all.taken.set(static_cast<std::size_t>(i));
      number_ = i;
    }
  }
  if (number_ < 0) return nullptr;
  words_ = ticket_words(number_);
  return words_;
}

void Tickets::give_back() noexcept {
  if (number_ < 0) return;
  Sets& all = sets();
  sync::LockGuard lock(all.mutex);
  all.taken.reset(static_cast<std::size_t>(number_));
  number_ = -1;
  words_ = nullptr;
}

}  // namespace millrace::cuda
