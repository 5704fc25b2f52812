// Address space of the process's own: pages that nobody may touch until somebody gives them access.
#pragma once

#include <cstddef>

namespace millrace {

/// So many bytes, aligned to a power of two that is a multiple of the page size; null, with errno set, where
/// the process has too little address space left.
void* reserve_pages(std::size_t bytes, std::size_t alignment) noexcept;

/// Takes back what was in them, and with it the access.
void empty_pages(void* address, std::size_t bytes) noexcept;

void release_pages(void* address, std::size_t bytes) noexcept;

}  // namespace millrace
