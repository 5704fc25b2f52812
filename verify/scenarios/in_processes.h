// Work that one process at a time can do, done by several at once.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace millrace::verify {

/// Calls work(i) for each i below count in a process of its own, at most `most` at once, and done(i, what it
/// returned, how it ended) here, in the order in which they end. ended is empty, or says how a process died;
/// then what it returned is none of its. A process ends with this one. Throws std::system_error where none
/// can be made.
///
/// Thread safety: one call at a time, and no other threads, which the processes would not have.
void in_processes(
    std::size_t count, unsigned most, const std::function<std::string(std::size_t)>& work,
    const std::function<void(std::size_t, const std::string& returned, const std::string& ended)>& done);

}  // namespace millrace::verify
