// What the system is told about the pages of a mapped file that is read piece by piece, so that reading is
// as fast as memory where the file is cached, as fast as the disk where it is not, and so that the part
// that is resident stays bounded whatever the file's size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/mapped_file.h"

namespace millrace::tool {

/// Ranges are bytes of the mapping and may be cut anywhere; what lies past its end is left out. All of it
/// is advice: where the system refuses, pages come and go one by one, as with any mapping.
///
/// Thread safety: all of them from any thread, also on ranges that others read.
///
/// Starts bringing a range into the page cache, where the system does not do that by itself; returns before
/// it is there.
void read_ahead(const MappedFile& file, std::uint64_t offset, std::uint64_t bytes) noexcept;

/// Brings a range into the page cache and into the page tables with one call instead of a fault every few
/// pages. Just before the range is read, so that nothing has pushed it out again.
void populate(std::span<const std::byte> mapping, std::uint64_t offset, std::uint64_t bytes) noexcept;

/// Takes a range out of this process's page tables; the page cache keeps it. Whoever still reads there
/// gets the pages back.
void drop(std::span<const std::byte> mapping, std::uint64_t offset, std::uint64_t bytes) noexcept;

}  // namespace millrace::tool
