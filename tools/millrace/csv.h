// Comma-separated values (RFC 4180).
#pragma once

#include <string>
#include <vector>

#include "output_file.h"

namespace millrace::tool {

/// One line of cells, quoted where they must be.
std::string csv_line(const std::vector<std::string>& cells);

/// 17 significant digits, which give back the bits.
std::string csv_number(double value);

/// A name or path as a cell of this output: as it is, but for what a terminal would act on.
std::string csv_name(const OutputFile& out, const std::string& name);

}  // namespace millrace::tool
