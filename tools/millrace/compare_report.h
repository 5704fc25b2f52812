// What a comparison found, as a table, as JSON and as comma-separated values.
#pragma once

#include <cstdio>
#include <vector>

#include "compare_match.h"
#include "compare_run.h"
#include "formats/tensor_file.h"
#include "output_file.h"

namespace millrace::tool {

/// Two checkpoints and what came out.
struct Comparison {
  const std::vector<TensorFile>& first;
  const std::vector<TensorFile>& second;
  const std::vector<TensorPair>& pairs;
  const CompareResult& result;
};

/// Is every tensor in both, of the same type and shape, with the same bits?
bool all_identical(const Comparison& comparison);

/// {"comparison": [a row a pair], "run": {...}}. Pairs that an interruption left out are absent and
/// "partial": true is in "run". Numbers are null where there is no pair of elements to take them from.
void write_compare_json(OutputFile& out, const Comparison& comparison);

/// A header and the same rows.
void write_compare_csv(OutputFile& out, const Comparison& comparison);

/// The pairs that are not identical, and how many there are of each kind.
void print_comparison(std::FILE* out, const Comparison& comparison);

}  // namespace millrace::tool
