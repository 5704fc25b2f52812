// Where a round runs, and in what program: nothing that names the machine.
#pragma once

#include <filesystem>
#include <string>

#include "verify/round.h"

namespace millrace::tool {

Host this_host();
/// Of the running program.
Binary this_binary();
/// Of the checkout, "-dirty" after it where files differ from it; empty where there is none.
std::string revision_of(const std::filesystem::path& root);

}  // namespace millrace::tool
