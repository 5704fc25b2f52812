// The table of devices, for the subcommand and for the tour.
#pragma once

namespace millrace::tool {

void print_devices();

}  // namespace millrace::tool
