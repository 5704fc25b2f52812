// The command line asks for something that does not exist; main ends with exit code 2.
#pragma once

#include <stdexcept>

namespace millrace::tool {

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace millrace::tool
