// A thread's own pointer, and what is called when the thread ends.
#include "sync/thread_slot.h"

#include "scenario.h"

namespace millrace::verify {
namespace {

using interleave::thread;

struct Tag {};
struct Mine {
  int ended = 0;
};
using Slot = sync::ThreadSlot<Tag, Mine>;

const Register hook("thread_slot.hook_at_exit", "", [] {
  Slot::open([](Mine* mine) {
    INTERLEAVE_EXPECT(Slot::get() == nullptr);
    ++mine->ended;
  });
  Mine one, two, forgotten;
  thread first([&] { Slot::set(&one); });
  thread second([&] { Slot::set(&two); });
  thread third([&] {
    Slot::set(&forgotten);
    INTERLEAVE_EXPECT(Slot::get() == &forgotten);
    Slot::forget();
  });
  INTERLEAVE_EXPECT(Slot::get() == nullptr);
  first.join();
  second.join();
  third.join();
  INTERLEAVE_EXPECT(one.ended == 1 && two.ended == 1 && forgotten.ended == 0);
});

}  // namespace
}  // namespace millrace::verify
