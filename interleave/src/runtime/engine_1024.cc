// The engine for runs of up to 1024 events.
#include "runtime/exploration_impl.h"

namespace interleave {

template bool explore_with<16>(const Options&, const std::function<void()>&, Observer*, const std::string&,
                               Result&, bool&);

}  // namespace interleave
