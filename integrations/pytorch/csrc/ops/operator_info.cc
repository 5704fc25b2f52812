#include "ops/operator_info.h"

#include <ATen/core/enum_tag.h>
#include <ATen/core/jit_type.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "ops/kernel_scope.h"
#include "ops/names.h"

namespace millrace_torch {
namespace {

using Kind = c10::TypeKind;

bool is_tensor(const c10::TypePtr& type) {
  if (type->kind() == Kind::OptionalType)
    return is_tensor(type->castRaw<c10::OptionalType>()->getElementType());
  return type->kind() == Kind::TensorType;
}

bool is_tensor_list(const c10::TypePtr& type) {
  if (type->kind() == Kind::OptionalType)
    return is_tensor_list(type->castRaw<c10::OptionalType>()->getElementType());
  return type->kind() == Kind::ListType && is_tensor(type->castRaw<c10::ListType>()->getElementType());
}

bool is_of(const c10::TypePtr& type, Kind kind) {
  if (type->kind() == Kind::OptionalType)
    return is_of(type->castRaw<c10::OptionalType>()->getElementType(), kind);
  return type->kind() == kind;
}

bool is_written(const c10::Argument& argument) {
  return argument.alias_info() != nullptr && argument.alias_info()->isWrite();
}

/// Which argument has a part in the same memory as the result?
std::optional<std::size_t> aliased(const c10::FunctionSchema& schema, const c10::Argument& result) {
  if (result.alias_info() == nullptr) return std::nullopt;
  for (std::size_t i = 0; i < schema.arguments().size(); ++i) {
    const c10::AliasInfo* const alias = schema.arguments()[i].alias_info();
    if (alias == nullptr) continue;
    for (const auto& set : alias->beforeSets()) {
      if (result.alias_info()->beforeSets().contains(set)) return i;
    }
  }
  return std::nullopt;
}

/// Overloads by their operator's name.
const std::vector<c10::OperatorName>& overloads_of(const std::string& name) {
  static const auto* const all = [] {
    auto* const made = new std::unordered_map<std::string, std::vector<c10::OperatorName>>;
    for (const c10::OperatorName& op : c10::Dispatcher::singleton().getAllOpNames())
      (*made)[op.name].push_back(op);
    return made;
  }();
  static const std::vector<c10::OperatorName> none;
  const auto found = all->find(name);
  return found == all->end() ? none : found->second;
}

/// Does the schema take what the other takes, and then one out= for each of its results?
bool is_out_variant(const c10::FunctionSchema& candidate, const c10::FunctionSchema& schema) {
  const auto& theirs = candidate.arguments();
  const auto& ours = schema.arguments();
  const std::size_t outs = schema.returns().size();
  if (theirs.size() != ours.size() + outs) return false;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (theirs[i].name() != ours[i].name() || *theirs[i].type() != *ours[i].type() || is_written(theirs[i]))
      return false;
  }
  return std::all_of(
      theirs.begin() + static_cast<std::ptrdiff_t>(ours.size()), theirs.end(),
      [](const auto& out) { return is_written(out) && out.type()->kind() == Kind::TensorType; });
}

std::optional<c10::OperatorHandle> find_out_variant(const c10::FunctionSchema& schema) {
  for (const c10::OperatorName& name : overloads_of(schema.name())) {
    const auto op = c10::Dispatcher::singleton().findSchema(name);
    if (op && is_out_variant(op->schema(), schema)) return op;
  }
  return std::nullopt;
}

std::optional<c10::OperatorHandle> find_functional(const c10::FunctionSchema& schema) {
  for (const c10::OperatorName& name : overloads_of(schema.name())) {
    const auto op = c10::Dispatcher::singleton().findSchema(name);
    if (op && is_out_variant(schema, op->schema())) return op;
  }
  return std::nullopt;
}

/// The CPU's kernels that write to out= where the functional ones are right: those of batch norm do not write
/// the mean of inputs that are not contiguous, and want statistics of another type; the others resize the
/// result on the way.
bool out_variant_errs(const std::string& name) {
  static constexpr std::array<std::string_view, 7> kErr{"aten::native_batch_norm",
                                                        "aten::_native_batch_norm_legit",
                                                        "aten::_native_batch_norm_legit_no_training",
                                                        "aten::_batch_norm_with_update",
                                                        "aten::_batch_norm_with_update_functional",
                                                        "aten::binary_cross_entropy",
                                                        "aten::huber_loss"};
  return is_among(kErr, name);
}

/// Products of matrices and what is made of them, factorisations, distances.
bool takes_time_for_pairs(const std::string& name) {
  static constexpr std::array<std::string_view, 27> kBegin{
      "aten::mm",          "aten::bmm",         "aten::addmm",
      "aten::_addmm",      "aten::baddbmm",     "aten::addbmm",
      "aten::_int_mm",     "aten::linalg_",     "aten::_linalg_",
      "aten::cholesky",    "aten::_cholesky",   "aten::triangular_solve",
      "aten::lu_",         "aten::geqrf",       "aten::ormqr",
      "aten::convolution", "aten::conv_",       "aten::_conv",
      "aten::slow_conv",   "aten::_slow_conv",  "aten::mkldnn_",
      "aten::_cdist",      "aten::_pdist",      "aten::_trilinear",
      "aten::_transformer", "aten::_scaled_dot_product", "aten::_native_multi_head_attention"};
  return std::any_of(kBegin.begin(), kBegin.end(),
                     [&](std::string_view begin) { return name.compare(0, begin.size(), begin) == 0; });
}

/// The CPU's kernels are deterministic, or say themselves that they are not.
bool meta_alerts_as_cuda(const std::string& name) {
  static constexpr std::array<std::string_view, 4> kAlert{"aten::histc", "aten::median", "aten::nanmedian",
                                                          "aten::mode"};
  return is_among(kAlert, name);
}

/// Meta kernels that speak of results as other devices have them.
bool meta_errs(const std::string& name) {
  static constexpr std::array<std::string_view, 3> kErr{"aten::_embedding_bag",
                                                        "aten::_embedding_bag_forward_only", "aten::nansum"};
  return is_among(kErr, name);
}

}  // namespace

OperatorInfo::OperatorInfo(const c10::OperatorHandle& op) {
  const c10::FunctionSchema& schema = op.schema();
  name = schema.overload_name().empty() ? schema.name() : schema.name() + "." + schema.overload_name();
  reduction = find_reduction(name);
  arguments = schema.arguments().size();
  for (std::size_t i = 0; i < arguments; ++i) {
    const c10::Argument& argument = schema.arguments()[i];
    written.push_back(is_written(argument));
    if (argument.is_out()) out_arguments.push_back(i);
    if (is_of(argument.type(), Kind::GeneratorType)) generator = i;
    if (is_of(argument.type(), Kind::DeviceObjType)) device = i;
    if (argument.type()->kind() == Kind::BoolType &&
        (argument.name() == "training" || argument.name() == "train"))
      trains = i;
  }
  bool all_new = true;
  for (const c10::Argument& result : schema.returns()) {
    const auto argument = aliased(schema, result);
    Return made;
    if (argument && written[*argument]) {
      made = {Result::argument, *argument};
    } else if (argument) {
      made = {Result::view, *argument};
      is_view = true;
    } else if (is_tensor(result.type())) {
      made = {Result::tensor, 0};
    } else if (is_tensor_list(result.type())) {
      made = {Result::tensors, 0};
    }
    all_new = all_new && made.kind == Result::tensor;
    returns.push_back(made);
  }
  if (all_new && !returns.empty() && !out_variant_errs(schema.name())) out_variant = find_out_variant(schema);
  if (!out_arguments.empty()) functional = find_functional(schema);
  pointwise = op.hasTag(at::Tag::pointwise);
  many_numbers = takes_time_for_pairs(schema.name()) ? kManyNumbersOfLargeKernels : kManyNumbers;
  static constexpr const char* kIndexing[] = {
      "aten::index",         "aten::index_put_",        "aten::_index_put_impl_",
      "aten::_unsafe_index", "aten::_unsafe_index_put", "aten::index_put"};
  indexes = std::any_of(std::begin(kIndexing), std::end(kIndexing),
                        [&](const char* indexing) { return schema.name() == indexing; });
  meta_alerts = meta_alerts_as_cuda(schema.name());
  const bool unknown = std::any_of(returns.begin(), returns.end(),
                                   [](const Return& result) { return result.kind == Result::other; });
  waits = unknown || meta_errs(schema.name()) || op.hasTag(at::Tag::data_dependent_output) ||
          op.hasTag(at::Tag::dynamic_output_shape);
}

const OperatorInfo& info_of(const c10::OperatorHandle& op) {
  // By the schema, of which there is one an operator. What a thread has asked for before needs no lock.
  static thread_local std::unordered_map<const c10::FunctionSchema*, const OperatorInfo*> mine;
  const c10::FunctionSchema* const schema = &op.schema();
  if (const auto found = mine.find(schema); found != mine.end()) return *found->second;
  static std::mutex mutex;
  static auto* const all = new std::unordered_map<const c10::FunctionSchema*, std::unique_ptr<OperatorInfo>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<OperatorInfo>& info = (*all)[schema];
  if (!info) info = std::make_unique<OperatorInfo>(op);
  mine.emplace(schema, info.get());
  return *info;
}

}  // namespace millrace_torch
