// Memory of this device in other processes, and theirs in this one.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace millrace_torch {

/// A block's memory for another process: the physical chunks that it lies in, as file descriptors of this
/// process. They are kept until the process ends, since nothing tells when the last has opened them; a chunk
/// has one, however often it is shared.
struct ExportedBlock {
  std::ptrdiff_t offset = 0;  ///< of the block in its first chunk
  std::string handle;         ///< bytes, for import_block in any process of this machine
};

/// The device that the block is of is current on the thread. Throws c10::Error where the driver can't export
/// it.
///
/// Thread safety: both from any thread.
ExportedBlock export_block(void* address, std::size_t bytes);

/// The chunks that a handle names, mapped one after the other on the current device: the start of the first.
/// They stay while a copy of the pointer lasts; the same handle again gives the same addresses meanwhile.
/// Throws c10::Error where the other process is gone or may not be looked into (ptrace_scope), and for what
/// is no such handle.
std::shared_ptr<void> import_block(const std::string& handle, int device);

}  // namespace millrace_torch
