// From addresses in code to lines of source, when a failure is reported.
#pragma once

#include <vector>

#include "interleave/where.h"

namespace interleave {

/// A place known by its return address only, to be resolved if it is ever shown.
Where place_of(const void* return_address) noexcept;
/// The functions that the calling thread is in, as a place that resolves to the first line of the test's own.
/// Forgotten by the next call of forget_remembered.
Where remember_caller();
void forget_remembered() noexcept;
/// Whether the place names no line of the test's: none at all, or one in the standard library or in the
/// checker.
bool is_vague(Where where) noexcept;
bool is_remembered(Where where) noexcept;
/// The places with lines, as far as they can be found; what is found is kept for the life of the process.
std::vector<Where> resolve(const std::vector<Where>& places);

}  // namespace interleave
