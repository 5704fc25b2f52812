#include "backends/cuda/reduce/tickets.h"

#include <cstddef>

namespace millrace::cuda {
namespace {

TicketSets process_sets;

}  // namespace

TicketSets& TicketSets::all() noexcept {
  return process_sets;
}

int TicketSets::take() noexcept {
  sync::LockGuard lock(mutex_);
  for (int i = 0; i < kTicketSets; ++i) {
    if (taken_.test(static_cast<std::size_t>(i))) continue;
    taken_.set(static_cast<std::size_t>(i));
    return i;
  }
  return -1;
}

void TicketSets::give_back(int number) noexcept {
  sync::LockGuard lock(mutex_);
  taken_.reset(static_cast<std::size_t>(number));
}

unsigned* Tickets::words(int which) noexcept {
  if (which >= kMost) return nullptr;
  Set& own = own_[static_cast<std::size_t>(which)];
  if (own.words != nullptr) return own.words;
  if (own.number < 0) own.number = sets_.take();
  if (own.number < 0) return nullptr;
  own.words = ticket_words(own.number);
  return own.words;
}

void Tickets::give_back() noexcept {
  for (Set& own : own_) {
    if (own.number < 0) continue;
    sets_.give_back(own.number);
    own = {};
  }
}

}  // namespace millrace::cuda
