// The memory limit: what is given back while somebody else grows.
#include "memory/limit.h"
#include "scenario.h"

namespace millrace::verify {
namespace {

using interleave::thread;

const Register given_back("limit.given_back_while_growing", "M2", [] {
  Limit limit(4);
  INTERLEAVE_EXPECT(limit.try_reserve(2));
  thread giver([&] { limit.give_back(2); });
  INTERLEAVE_EXPECT(limit.try_reserve(2));
  giver.join();
  INTERLEAVE_EXPECT(limit.committed() == 2);
});

const Register not_used("limit.share_not_used_up", "M2", [] {
  Limit limit(2);
  bool grown = false;
  thread failing([&] { const LimitShare share(limit, 2); });
  {
    LimitShare share(limit, 2);
    grown = static_cast<bool>(share);
    share.use_up();
  }
  failing.join();
  INTERLEAVE_EXPECT(limit.committed() == (grown ? 2 : 0));
});

}  // namespace
}  // namespace millrace::verify
