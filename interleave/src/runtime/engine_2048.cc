// The engine for runs of up to 2048 events.
#include "runtime/exploration_impl.h"

namespace interleave {

template bool explore_with<32>(const Options&, const std::function<void()>&, Observer*, const std::string&,
                               Result&, bool&);

}  // namespace interleave
