// Measurements that take turns: on a machine that others use, what two sides got in the same rounds can be
// compared, and what each got alone can't.
#pragma once

#include <functional>
#include <optional>
#include <vector>

namespace millrace::tool {

/// Measures once and says what it got; nothing where it can't any more.
using Contestant = std::function<std::optional<double>()>;

/// Lets all contestants measure in turn, once to warm up and then for this many rounds; the median of each.
/// Nothing for one that could not measure in every round. An interruption ends it: the round it came in
/// counts for none, and where it was the first there are no medians.
std::vector<std::optional<double>> median_of_rounds(int rounds, const std::vector<Contestant>& contestants);

}  // namespace millrace::tool
