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

unsigned* Tickets::words(int which) noexcept {
  if (which >= kMost) return nullptr;
  Set& own = own_[static_cast<std::size_t>(which)];
  if (own.words != nullptr) return own.words;
  if (own.number < 0) {
    Sets& all = sets();
    sync::LockGuard lock(all.mutex);
    for (int i = 0; i < kTicketSets && own.number < 0; ++i) {
      if (all.taken.test(static_cast<std::size_t>(i))) continue;
      all.taken.set(static_cast<std::size_t>(i));
      own.number = i;
    }
  }
  if (own.number < 0) return nullptr;
  own.words = ticket_words(own.number);
  return own.words;
}

void Tickets::give_back() noexcept {
  for (Set& own : own_) {
    if (own.number < 0) continue;
    Sets& all = sets();
    sync::LockGuard lock(all.mutex);
    all.taken.reset(static_cast<std::size_t>(own.number));
    own = {};
  }
}

}  // namespace millrace::cuda
