// Shared ownership.
#include "sync/ref.h"

#include "scenario.h"

namespace millrace::verify {
namespace {

using interleave::thread;

struct Shared final : sync::RefCounted {
  explicit Shared(int& alive) : alive_(alive) { ++alive_; }
  ~Shared() override { --alive_; }
  int parts[2] = {};
  int& alive_;
};

const Register last_reference("ref.last_reference", "R1", [] {
  int alive = 0;
  auto mine = sync::make_ref<Shared>(alive);
  thread one([&alive, own = mine]() mutable {
    own->parts[0] = 1;
    own = {};
  });
  thread two([own = mine]() mutable {
    own->parts[1] = 1;
    own = {};
  });
  mine = {};
  one.join();
  two.join();
  INTERLEAVE_EXPECT(alive == 0);
});

const Register shared_on("ref.shared_on", "R1", [] {
  int alive = 0;
  auto mine = sync::make_ref<Shared>(alive);
  thread one([own = mine]() mutable {
    const sync::Ref<Shared> more = own;
    own = {};
    more->parts[0] = 1;
  });
  mine->parts[1] = 1;
  mine = {};
  one.join();
  INTERLEAVE_EXPECT(alive == 0);
});

}  // namespace
}  // namespace millrace::verify
