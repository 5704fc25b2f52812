// The program interleave: litmus tests and benches of the checker itself.
#include <iostream>

#include "interleave/check.h"
#include "program/commands.h"

namespace {

constexpr const char* kUsage =
    "usage: interleave COMMAND ...\n"
    "  litmus [--model rc11|sc] [--graphs] [--check] [FILE|-]   executions of litmus programs\n"
    "  bench [--workers N] [NAME...]                            executions a second\n";

}  // namespace

int main(int count, char** values) {
  const std::vector<std::string> arguments(values + std::min(count, 2), values + count);
  const std::string command = count > 1 ? values[1] : "";
  if (command == "litmus") return interleave::litmus_command(arguments);
  if (command == "bench") return interleave::bench_command(arguments);
  const bool asked = command == "--help" || command == "-h";
  (asked ? std::cout : std::cerr) << kUsage;
  return asked ? 0 : 2;
}
