// torch's memory on our devices.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Storage.h>

#include "device/devices.h"

namespace millrace_torch {

/// What torch calls for storage on "millrace". Frees are ordered after what the stream had recorded, so
/// memory is used again at once.
c10::DeviceAllocator& device_allocator();
/// Of the host's, for copies that do not hold up their caller.
c10::Allocator& pinned_allocator();
bool is_pinned(const void* address);
/// Grows or shrinks a storage, keeping its contents.
void resize_storage(const c10::Storage& storage, std::size_t bytes);

}  // namespace millrace_torch
