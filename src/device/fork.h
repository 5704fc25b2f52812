// Knowing that this process is a forked child, in which no thread but the caller exists.
#pragma once

namespace millrace {

/// From the first call on, a fork is noticed. Called before anything that a child could get wrong.
void watch_for_fork();

/// True in a child forked after watch_for_fork, and in its children: locks may be held by threads that
/// are not there, so nothing may be locked, joined or waited for. Calls that may throw then throw
/// ForkedProcess; frees and destructors do nothing.
///
/// Thread safety: any thread.
[[nodiscard]] bool forked() noexcept;

/// Throws ForkedProcess in a forked child.
void refuse_in_forked_child(const char* call);

}  // namespace millrace
