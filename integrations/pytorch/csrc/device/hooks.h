#pragma once

namespace millrace_torch {

/// Makes the devices known to torch. Once, before anything else.
void register_hooks();

}  // namespace millrace_torch
