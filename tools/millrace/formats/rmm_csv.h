// RMM's allocation log: what rmm::mr::logging_resource_adaptor writes, and `millrace record` too.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "formats/allocation_log.h"

namespace millrace::tool {

/// The first line.
inline constexpr std::string_view kRmmColumns = "Thread,Time,Action,Pointer,Size,Stream";

/// Reads one. Thread is a decimal number and stream a hexadecimal one, with or without 0x; either is only a
/// name. Time is skipped. Action is allocate, free, or allocate failure, which is counted and no event; nor
/// is an allocation of no bytes that gave a null pointer, and the free of it.
///
/// Throws FileFormatError, with the line, for anything else, and for a last line that does not end: a log
/// that was cut off there would be read with a wrong number.
AllocationLog parse_rmm_csv(std::span<const std::byte> bytes, const std::string& file);

}  // namespace millrace::tool
