#include <millrace/dlpack.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <type_traits>
#include <utility>

#include "api/access.h"
#include "api/dlpack_abi.h"
#include "device/memory_range.h"
#include "reduce/shape.h"

namespace millrace {
namespace {

using detail::Access;

[[noreturn]] void refuse(ErrorCode code, std::string message, const char* call) {
  throw Error(code, std::move(message), {.call = call, .device = {}, .rule = {}});
}

// What a type is there

struct TypeName {
  DType ours;
  std::uint8_t code;
};
constexpr std::array<TypeName, kDTypeCount> kTypes{{{DType::f64, dlpack::kFloat},
                                                    {DType::f32, dlpack::kFloat},
                                                    {DType::f16, dlpack::kFloat},
                                                    {DType::bf16, dlpack::kBfloat},
                                                    {DType::i64, dlpack::kInt},
                                                    {DType::i32, dlpack::kInt},
                                                    {DType::i16, dlpack::kInt},
                                                    {DType::i8, dlpack::kInt},
                                                    {DType::u8, dlpack::kUInt},
                                                    {DType::boolean, dlpack::kBool}}};

DLDataType type_of(const TypeName& type) noexcept {
  return {type.code, static_cast<std::uint8_t>(8 * size_of(type.ours)), 1};
}

std::string text_of(DLDataType type) {
  std::string name = "code " + std::to_string(type.code);
  if (type.code == dlpack::kInt) name = "int";
  if (type.code == dlpack::kUInt) name = "uint";
  if (type.code == dlpack::kFloat) name = "float";
  if (type.code == dlpack::kBfloat) name = "bfloat";
  if (type.code == dlpack::kComplex) name = "complex";
  if (type.code == dlpack::kBool) name = "bool";
  name += " of " + std::to_string(type.bits) + " bits";
  return type.lanes == 1 ? name : name + ", " + std::to_string(type.lanes) + " to an element";
}

DType type_from(DLDataType theirs, const char* call) {
  for (const TypeName& type : kTypes) {
    const DLDataType known = type_of(type);
    if (known.code == theirs.code && known.bits == theirs.bits && known.lanes == theirs.lanes)
      return type.ours;
  }
  refuse(ErrorCode::Unsupported,
         "the tensor's elements are " + text_of(theirs) +
             "; Millrace has float of 64, 32 and 16 bits, bfloat of 16, int of 64 to 8, uint and bool of 8: "
             "convert it where it comes from",
         call);
}

// Where memory is there

DLDevice device_of(const Core& core, const char* call) {
  constexpr std::string_view kCudaName = "cuda:";
  const std::string_view name = core.name();
  if (name.starts_with("host:")) return {dlpack::kCpu, 0};
  std::int32_t index = 0;
  const char* const end = name.data() + name.size();
  if (name.starts_with(kCudaName) && std::from_chars(name.data() + kCudaName.size(), end, index).ptr == end) {
    return {dlpack::kCuda, index};
  }
  throw Error(ErrorCode::Unsupported, "DLPack has no name for the device's memory", core.error_context(call));
}

std::string device_from(DLDevice device, const char* call) {
  switch (device.device_type) {
    case dlpack::kCpu:
    case dlpack::kCudaHost: return "host:0";
    case dlpack::kCuda:
    case dlpack::kCudaManaged: return "cuda:" + std::to_string(device.device_id);
    default:
      refuse(ErrorCode::Unsupported,
             "the tensor is in memory of DLPack's device type " + std::to_string(device.device_type) +
                 "; Millrace takes the host's (1, 3) and CUDA's (2, 13): copy it there first",
             call);
  }
}

// Giving tensors away

/// The struct and all that it points to.
template <typename Managed>
struct Exported {
  Managed tensor{};
  std::array<std::int64_t, kMaxDims> shape{}, strides{};
  std::shared_ptr<const void> owner;
};

template <typename Managed>
std::unique_ptr<Exported<Managed>> describe(const Core& core, const TensorView& view, AccessMode allowed,
                                            const char* call) {
  auto exported = std::make_unique<Exported<Managed>>();
  std::copy(view.shape.begin(), view.shape.end(), exported->shape.begin());
  std::copy(view.strides.begin(), view.strides.end(), exported->strides.begin());
  Managed& managed = exported->tensor;
  if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>) {
    managed.version = dlpack::kVersion;
    if (allowed == AccessMode::read) managed.flags = dlpack::kReadOnly;
  }
  managed.manager_ctx = exported.get();
  managed.deleter = [](Managed* self) { delete static_cast<Exported<Managed>*>(self->manager_ctx); };
  const auto type = std::ranges::find(kTypes, view.dtype, &TypeName::ours);
  managed.dl_tensor = {element_count(view.shape) == 0 ? nullptr : view.data,
                       device_of(core, call),
                       view.shape.size(),
                       type_of(*type),
                       exported->shape.data(),
                       exported->strides.data(),
                       0};
  return exported;
}

template <typename Managed>
Managed* give_away(std::unique_ptr<Exported<Managed>> exported) noexcept {
  return &exported.release()->tensor;
}

Device device_of(const Buffer& buffer, const char* call) {
  refuse_in_forked_child(call);
  if (buffer.data() == nullptr) refuse(ErrorCode::InvalidArgument, "the buffer is empty", call);
  const sync::Ref<Core> core = Registry::get().find(Access::device_of(buffer));
  if (!core || !core->try_add_handle()) {
    refuse(ErrorCode::Closed, "the buffer's device is closed and its memory is gone", call);
  }
  return Access::make_device(core.get());
}

template <typename Managed>
Managed* export_buffer(Buffer&& buffer, const TensorView& view, AccessMode allowed, const char* call) {
  struct Owner {
    Device device;  // outlives the buffer
    Buffer buffer;
  };
  auto owner = std::make_shared<Owner>(Owner{device_of(buffer, call), {}});
  const Span span = checked_span(call, "the view", view);
  const auto* const begin = static_cast<const std::byte*>(span.address);
  const auto* const data = buffer.as<const std::byte>();
  if (span.bytes != 0 && (begin < data || begin + span.bytes > data + buffer.size())) {
    refuse(ErrorCode::InvalidArgument,
           "the view spans " + range_text(span.address, span.bytes) + ", and the buffer is " +
               range_text(buffer.data(), buffer.size()) + "; a view has to lie within its buffer",
           call);
  }
  auto exported = describe<Managed>(*Access::core_of(owner->device), view, allowed, call);
  owner->buffer = std::move(buffer);
  exported->owner = std::move(owner);
  return give_away(std::move(exported));
}

template <typename Managed>
Managed* export_owned(const Device& device, const TensorView& view, std::shared_ptr<const void> owner,
                      AccessMode allowed, const char* call) {
  refuse_in_forked_child(call);
  const Core* const core = Access::core_of(device);
  if (core == nullptr || !core->is_open()) refuse(ErrorCode::Closed, "the device is closed", call);
  struct Owner {
    Device device;  // outlives what it is the memory of
    std::shared_ptr<const void> owner;
  };
  static_cast<void>(checked_span(call, "the view", view));
  auto exported = describe<Managed>(*core, view, allowed, call);
  exported->owner = std::make_shared<Owner>(Owner{device, std::move(owner)});
  return give_away(std::move(exported));
}

}  // namespace

DLManagedTensorVersioned* to_dlpack(Buffer&& buffer, const TensorView& view, AccessMode allowed) {
  return export_buffer<DLManagedTensorVersioned>(std::move(buffer), view, allowed, "to_dlpack");
}

DLManagedTensorVersioned* to_dlpack(const Device& device, const TensorView& view,
                                    std::shared_ptr<const void> owner, AccessMode allowed) {
  return export_owned<DLManagedTensorVersioned>(device, view, std::move(owner), allowed, "to_dlpack");
}

DLManagedTensor* to_dlpack_unversioned(Buffer&& buffer, const TensorView& view) {
  return export_buffer<DLManagedTensor>(std::move(buffer), view, AccessMode::write, "to_dlpack_unversioned");
}

DLManagedTensor* to_dlpack_unversioned(const Device& device, const TensorView& view,
                                       std::shared_ptr<const void> owner) {
  return export_owned<DLManagedTensor>(device, view, std::move(owner), AccessMode::write,
                                       "to_dlpack_unversioned");
}

// Taking tensors over

struct DlpackTensor::State {
  TensorView view;
  std::string device;
  bool read_only = false;
  std::shared_ptr<const void> tensor;  // its deleter is the tensor's
};

const TensorView& DlpackTensor::view() const noexcept {
  return state_->view;
}

const std::string& DlpackTensor::device() const noexcept {
  return state_->device;
}

bool DlpackTensor::read_only() const noexcept {
  return state_->read_only;
}

/// Makes DlpackTensors.
///
/// Thread safety: static functions, from any thread.
struct detail::DlpackImport {
  template <typename Managed>
  static DlpackTensor take(Managed* managed, bool read_only) {
    constexpr const char* kCall = "from_dlpack";
    auto state = std::make_shared<DlpackTensor::State>();
    state->view = view_of(managed->dl_tensor, kCall);
    static_cast<void>(checked_span(kCall, "the tensor", state->view));
    state->device = device_from(managed->dl_tensor.device, kCall);
    state->read_only = read_only;
    // Last, and in two steps: should memory for the count run out, the tensor is the caller's still.
    auto release = std::make_shared<Release<Managed>>();
    release->managed = managed;
    state->tensor = std::move(release);
    return DlpackTensor(std::move(state));
  }

 private:
  template <typename Managed>
  struct Release {
    Release() = default;
    Release(const Release&) = delete;
    Release& operator=(const Release&) = delete;
    ~Release() {
      if (managed != nullptr && managed->deleter != nullptr) managed->deleter(managed);
    }
    Managed* managed = nullptr;
  };

  static TensorView view_of(const DLTensor& tensor, const char* call) {
    if (tensor.ndim < 0 || (tensor.ndim > 0 && tensor.shape == nullptr)) {
      refuse(ErrorCode::InvalidArgument,
             "the tensor has " + std::to_string(tensor.ndim) + " dimensions" +
                 (tensor.ndim > 0 ? " and no shape" : "") + "; whoever made it has to say what it is",
             call);
    }
    const auto dims = static_cast<std::size_t>(tensor.ndim);
    TensorView view;
    view.dtype = type_from(tensor.dtype, call);
    view.shape = Dims(std::span<const std::int64_t>(tensor.shape, dims));
    view.strides = tensor.strides != nullptr ? Dims(std::span<const std::int64_t>(tensor.strides, dims))
                                             : contiguous_strides(view.shape);
    if (tensor.data != nullptr) view.data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
    return view;
  }
};

DlpackTensor from_dlpack(DLManagedTensorVersioned* tensor) {
  if (tensor == nullptr) refuse(ErrorCode::InvalidArgument, "the tensor is null", "from_dlpack");
  if (tensor->version.major != dlpack::kVersion.major) {
    refuse(ErrorCode::Unsupported,
           "the tensor is of DLPack " + std::to_string(tensor->version.major) + "." +
               std::to_string(tensor->version.minor) +
               ", and this reads version 1; call its deleter, and ask its maker for that version",
           "from_dlpack");
  }
  return detail::DlpackImport::take(tensor, (tensor->flags & dlpack::kReadOnly) != 0);
}

DlpackTensor from_dlpack(DLManagedTensor* tensor) {
  if (tensor == nullptr) refuse(ErrorCode::InvalidArgument, "the tensor is null", "from_dlpack");
  return detail::DlpackImport::take(tensor, false);
}

}  // namespace millrace
