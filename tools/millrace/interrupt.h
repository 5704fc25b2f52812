// Ctrl-C as something to ask for: long work looks now and then and ends early, in order.
#pragma once

namespace millrace::tool {

/// Makes SIGINT and SIGTERM set a flag from now on. A second signal ends the process at once.
void catch_interrupts();

/// Thread safety: any thread.
bool interrupted() noexcept;

/// From now on SIGBUS, which touching a mapped file raises when it has shrunk or its disk fails, ends
/// the process with one line and the exit code of bad input.
void explain_bus_errors();

}  // namespace millrace::tool
