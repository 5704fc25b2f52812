// What the machine offers: memory, with the limits of the control groups the process is in, and its name.
#pragma once

#include <cstddef>
#include <string>

namespace millrace::host {

/// The smallest memory limit of the process's control groups and their parents, versions 1 and 2;
/// SIZE_MAX where there is none. groups: the text of /proc/self/cgroup; root: /sys/fs/cgroup.
std::size_t cgroup_memory_limit(const std::string& groups, const std::string& root);

/// Bytes that this process may use: the machine's memory, or its control group's limit if smaller.
std::size_t machine_memory();

/// As "AMD EPYC 7763, 2 cores".
std::string machine_description();

/// Mappings the system allows a process (vm.max_map_count).
std::size_t mapping_limit();

}  // namespace millrace::host
