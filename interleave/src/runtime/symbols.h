// From addresses in code to lines of source, when a failure is reported.
#pragma once

#include "interleave/where.h"

namespace interleave {

/// A place known by its return address only, to be resolved if it is ever shown.
Where place_of(const void* return_address) noexcept;
/// The file and line of a place of either kind; what is found is kept for the life of the process.
Where resolved(Where where);

}  // namespace interleave
