// DLPack: tensors given away and taken over, and who keeps what alive.
#include <gtest/gtest.h>
#include <millrace/c.h>
#include <millrace/millrace.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/dlpack_abi.h"
#include "support/expect_error.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::int64_t kRows = 6, kColumns = 8;

template <typename Managed>
struct Delete {
  void operator()(Managed* tensor) const { tensor->deleter(tensor); }
};
template <typename Managed>
using Owned = std::unique_ptr<Managed, Delete<Managed>>;
using Tensor = Owned<DLManagedTensorVersioned>;

/// Somebody else's tensor, which counts how often it was given back.
template <typename Managed>
struct Foreign {
  explicit Foreign(void* data) {
    managed.dl_tensor = {data, {1, 0}, 2, {2, 32, 1}, shape.data(), strides.data(), 0};
    if constexpr (requires { managed.version; }) managed.version = {1, 1};
    managed.manager_ctx = this;
    managed.deleter = [](Managed* self) { ++static_cast<Foreign*>(self->manager_ctx)->deleted; };
  }
  std::array<std::int64_t, 2> shape{kRows, kColumns}, strides{kColumns, 1};
  Managed managed{};
  std::atomic<int> deleted{0};
};

class Dlpack : public testing::Test {
 protected:
  static TensorView rows_of(const Buffer& buffer) {
    return contiguous(buffer.data(), DType::f32, {kRows, kColumns});
  }
  Device device_ = create_test_device();
  Buffer buffer_ = device_.buffer(kRows * kColumns * sizeof(float));
  std::array<float, kRows * kColumns> numbers_{};
};

TEST_F(Dlpack, SaysWhatATensorIs) {
  void* const data = buffer_.data();
  TensorView view = rows_of(buffer_);
  view.shape = {kColumns, kRows};
  view.strides = {1, kColumns};
  view.data = buffer_.as<float>();
  const Tensor tensor(to_dlpack(std::move(buffer_), view));
  EXPECT_EQ(buffer_.data(), nullptr);
  EXPECT_EQ(tensor->version.major, 1u);
  EXPECT_EQ(tensor->flags, 0u);
  const DLTensor& inner = tensor->dl_tensor;
  EXPECT_EQ(inner.data, data);
  EXPECT_EQ(inner.byte_offset, 0u);
  const std::string name = device_.info().name;
  if (on_host_backend()) {
    EXPECT_EQ(inner.device.device_type, 1);
    EXPECT_EQ(inner.device.device_id, 0);
  } else {
    EXPECT_EQ(inner.device.device_type, 2);
    EXPECT_EQ("cuda:" + std::to_string(inner.device.device_id), name);
  }
  ASSERT_EQ(inner.ndim, 2);
  EXPECT_EQ(inner.shape[0], kColumns);
  EXPECT_EQ(inner.shape[1], kRows);
  EXPECT_EQ(inner.strides[0], 1);
  EXPECT_EQ(inner.strides[1], kColumns);
}

TEST_F(Dlpack, KnowsEveryElementType) {
  struct Expected {
    DType type;
    std::uint8_t code, bits;
  };
  for (const auto& [type, code, bits] : {Expected{DType::f64, 2, 64},
                                         {DType::f32, 2, 32},
                                         {DType::f16, 2, 16},
                                         {DType::bf16, 4, 16},
                                         {DType::i64, 0, 64},
                                         {DType::i32, 0, 32},
                                         {DType::i16, 0, 16},
                                         {DType::i8, 0, 8},
                                         {DType::u8, 1, 8},
                                         {DType::boolean, 6, 8}}) {
    SCOPED_TRACE(to_string(type));
    Buffer buffer = device_.buffer(64);
    const TensorView view = contiguous(buffer.data(), type, {4});
    Tensor tensor(to_dlpack(std::move(buffer), view, AccessMode::read));
    EXPECT_EQ(tensor->dl_tensor.dtype.code, code);
    EXPECT_EQ(tensor->dl_tensor.dtype.bits, bits);
    EXPECT_EQ(tensor->dl_tensor.dtype.lanes, 1);
    const DlpackTensor back = from_dlpack(tensor.release());
    EXPECT_EQ(back.view().dtype, type);
    EXPECT_TRUE(back.read_only());
    EXPECT_EQ(back.device(), on_host_backend() ? "host:0" : device_.info().name);
  }
}

TEST_F(Dlpack, HasNoAddressWithoutElements) {
  const Tensor tensor(to_dlpack(std::move(buffer_), contiguous(nullptr, DType::f32, {0, 3})));
  EXPECT_EQ(tensor->dl_tensor.data, nullptr);
  EXPECT_EQ(tensor->dl_tensor.shape[1], 3);
}

// The deleter frees once, on whatever thread, as a buffer does.
TEST_F(Dlpack, TheDeleterFrees) {
  const TensorView view = rows_of(buffer_);
  Tensor versioned(to_dlpack(std::move(buffer_), view));
  EXPECT_EQ(device_.memory().frees, 0u);
  std::thread([&] { versioned.reset(); }).join();
  EXPECT_EQ(device_.memory().frees, 1u);
  Buffer second = device_.buffer(256);
  const TensorView bytes = contiguous(second.data(), DType::u8, {256});
  Owned<DLManagedTensor> old(to_dlpack_unversioned(std::move(second), bytes));
  old.reset();
  EXPECT_EQ(device_.memory().frees, 2u);
  EXPECT_EQ(device_.memory().live, 0u);
}

TEST_F(Dlpack, KeepsTheDeviceOpen) {
  const Stream stream = device_.stream();
  const TensorView view = rows_of(buffer_);
  Tensor tensor(to_dlpack(std::move(buffer_), view));
  device_ = Device();
  EXPECT_NO_THROW(Stream(stream).fill(view.data, 0, 4));
  EXPECT_NO_THROW(Stream(stream).wait());
  tensor.reset();
  expect_code(ErrorCode::Closed, [&] { Stream(stream).wait(); });
}

TEST_F(Dlpack, TheDeleterMayFollowTheClose) {
  const TensorView view = rows_of(buffer_);
  Tensor versioned(to_dlpack(std::move(buffer_), view));
  auto shared = std::make_shared<Buffer>(device_.buffer(64));
  Owned<DLManagedTensor> old(
      to_dlpack_unversioned(device_, contiguous(shared->data(), DType::u8, {64}), shared));
  shared.reset();
  device_.close();
  std::thread([&] { versioned.reset(); }).join();
  old.reset();
}

TEST_F(Dlpack, AnOwnerIsSharedByItsTensors) {
  auto owner = std::make_shared<Buffer>(std::move(buffer_));
  std::vector<Tensor> rows;
  for (std::int64_t row = 0; row < kRows; ++row) {
    rows.emplace_back(
        to_dlpack(device_, contiguous(owner->as<float>() + row * kColumns, DType::f32, {kColumns}), owner));
  }
  const std::weak_ptr<Buffer> watched = owner;
  owner.reset();
  on_threads(kRows, [&](int row) {
    EXPECT_FALSE(watched.expired());
    rows[static_cast<std::size_t>(row)].reset();
  });
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(device_.memory().live, 0u);
}

TEST_F(Dlpack, RefusesWhatIsNotWithinTheBuffer) {
  const auto refused = [&](const TensorView& view) {
    expect_code(ErrorCode::InvalidArgument, [&] { to_dlpack(std::move(buffer_), view); });
    EXPECT_NE(buffer_.data(), nullptr);
  };
  refused(contiguous(buffer_.data(), DType::f32, {kRows, kColumns + 1}));
  refused(contiguous(buffer_.as<float>() - 1, DType::f32, {2}));
  refused({buffer_.data(), DType::f32, {2}, {-1}});
  refused({buffer_.data(), DType::f32, {2, 2}, {1}});
  refused({buffer_.data(), static_cast<DType>(200), {2}, {1}});
  refused(contiguous(nullptr, DType::f32, {1}));
  Buffer empty;
  expect_code(ErrorCode::InvalidArgument, [&] { to_dlpack(std::move(empty), rows_of(buffer_)); });
  expect_code(ErrorCode::Closed, [&] { to_dlpack(Device(), rows_of(buffer_), nullptr); });
  // What lies in it backwards is fine.
  const Tensor tensor(to_dlpack(std::move(buffer_), {buffer_.as<float>() + 7, DType::f32, {8}, {-1}}));
  EXPECT_EQ(tensor->dl_tensor.strides[0], -1);
}

TEST_F(Dlpack, RefusesWhatIsClosed) {
  const TensorView view = rows_of(buffer_);
  device_.close();
  expect_code(ErrorCode::Closed, [&] { to_dlpack(std::move(buffer_), view); });
  expect_code(ErrorCode::Closed, [&] { to_dlpack(device_, view, nullptr); });
}

TEST_F(Dlpack, ForeignTensorsAreGivenBackOnceByTheLastCopy) {
  Foreign<DLManagedTensorVersioned> foreign(numbers_.data());
  DlpackTensor tensor = from_dlpack(&foreign.managed);
  ASSERT_TRUE(tensor.valid());
  EXPECT_EQ(tensor.view().data, numbers_.data());
  EXPECT_EQ(tensor.view().shape, (Dims{kRows, kColumns}));
  EXPECT_EQ(tensor.view().strides, (Dims{kColumns, 1}));
  EXPECT_EQ(tensor.view().dtype, DType::f32);
  EXPECT_EQ(tensor.device(), "host:0");
  EXPECT_FALSE(tensor.read_only());
  on_threads(4, [copy = tensor](int) {
    for (int i = 0; i < 100; ++i) static_cast<void>(DlpackTensor(copy));
  });
  EXPECT_EQ(foreign.deleted, 0);
  DlpackTensor moved = std::move(tensor);
  moved.reset();
  EXPECT_EQ(foreign.deleted, 1);
  EXPECT_FALSE(moved.valid());

  Foreign<DLManagedTensor> old(numbers_.data());
  old.managed.dl_tensor.strides = nullptr;
  old.managed.dl_tensor.byte_offset = 4 * kColumns;
  old.managed.dl_tensor.shape[0] = kRows - 1;
  {
    const DlpackTensor rest = from_dlpack(&old.managed);
    EXPECT_EQ(rest.view().strides, (Dims{kColumns, 1}));
    EXPECT_EQ(rest.view().data, numbers_.data() + kColumns);
  }
  EXPECT_EQ(old.deleted, 1);
  Foreign<DLManagedTensor> unowned(numbers_.data());
  unowned.managed.deleter = nullptr;
  EXPECT_TRUE(from_dlpack(&unowned.managed).valid());
}

// A handler that has a copy keeps the tensor until the work that uses it is done.
TEST_F(Dlpack, ForeignTensorsFeedWork) {
  std::iota(numbers_.begin(), numbers_.end(), 0.0f);
  Foreign<DLManagedTensorVersioned> foreign(numbers_.data());
  Stream stream = device_.stream();
  {
    const DlpackTensor tensor = from_dlpack(&foreign.managed);
    stream.copy(buffer_.data(), tensor.view().data, buffer_.size());
    stream.on_completed([tensor](const Completion&) {});
  }
  EXPECT_EQ(foreign.deleted, 0);
  stream.commit();
  device_.synchronize();
  EXPECT_EQ(foreign.deleted, 1);
  EXPECT_EQ(read_back<float>(stream, buffer_.data(), numbers_.size()).back(), numbers_.back());
}

TEST_F(Dlpack, ForeignTensorsThatCantBeTakenStayTheCallers) {
  using Managed = DLManagedTensorVersioned;
  std::array<std::int64_t, 9> many{1, 1, 1, 1, 1, 1, 1, 1, 1};
  const auto refused = [&](ErrorCode code, auto&& change) {
    Foreign<Managed> foreign(numbers_.data());
    change(foreign.managed);
    expect_code(code, [&] { from_dlpack(&foreign.managed); });
    EXPECT_EQ(foreign.deleted, 0);
  };
  refused(ErrorCode::Unsupported, [](Managed& t) { t.version = {2, 0}; });
  refused(ErrorCode::Unsupported, [](Managed& t) { t.dl_tensor.dtype = {1, 32, 1}; });
  refused(ErrorCode::Unsupported, [](Managed& t) { t.dl_tensor.dtype = {5, 64, 1}; });
  refused(ErrorCode::Unsupported, [](Managed& t) { t.dl_tensor.dtype = {2, 32, 4}; });
  refused(ErrorCode::Unsupported, [](Managed& t) { t.dl_tensor.device.device_type = 10; });
  refused(ErrorCode::InvalidArgument, [](Managed& t) { t.dl_tensor.ndim = -1; });
  refused(ErrorCode::InvalidArgument, [](Managed& t) { t.dl_tensor.shape = nullptr; });
  refused(ErrorCode::InvalidArgument, [](Managed& t) { t.dl_tensor.data = nullptr; });
  refused(ErrorCode::InvalidArgument, [](Managed& t) { t.dl_tensor.shape[0] = -3; });
  refused(ErrorCode::InvalidArgument, [](Managed& t) { t.dl_tensor.byte_offset = 2; });
  refused(ErrorCode::InvalidArgument, [&](Managed& t) {
    t.dl_tensor.ndim = 9;
    t.dl_tensor.shape = many.data();
    t.dl_tensor.strides = many.data();
  });
  expect_code(ErrorCode::InvalidArgument,
              [] { from_dlpack(static_cast<DLManagedTensorVersioned*>(nullptr)); });
  expect_code(ErrorCode::InvalidArgument, [] { from_dlpack(static_cast<DLManagedTensor*>(nullptr)); });
}

TEST_F(Dlpack, OtherPlacesOfMemory) {
  Foreign<DLManagedTensor> pinned(numbers_.data()), managed(numbers_.data()), second(numbers_.data());
  pinned.managed.dl_tensor.device = {3, 0};
  managed.managed.dl_tensor.device = {13, 0};
  second.managed.dl_tensor.device = {2, 1};
  EXPECT_EQ(from_dlpack(&pinned.managed).device(), "host:0");
  EXPECT_EQ(from_dlpack(&managed.managed).device(), "cuda:0");
  EXPECT_EQ(from_dlpack(&second.managed).device(), "cuda:1");
}

TEST_F(Dlpack, FromC) {
  millrace_device* device = nullptr;
  ASSERT_EQ(millrace_device_open(test_device_name().c_str(), 0, &device), MILLRACE_OK);
  void* address = nullptr;
  ASSERT_EQ(millrace_allocate(device, 4096, 0, &address), MILLRACE_OK);
  const std::array<std::int64_t, 2> shape{16, 64}, strides{1, 16}, past{17, 64};
  DLManagedTensorVersioned* tensor = nullptr;
  EXPECT_EQ(millrace_to_dlpack(device, address, MILLRACE_F32, 2, past.data(), nullptr, 0, &tensor),
            MILLRACE_INVALID_ARGUMENT);
  EXPECT_EQ(millrace_to_dlpack(device, &address, MILLRACE_F32, 2, shape.data(), nullptr, 0, &tensor),
            MILLRACE_INVALID_ARGUMENT);
  EXPECT_EQ(millrace_to_dlpack(device, address, MILLRACE_F32, 9, shape.data(), nullptr, 0, &tensor),
            MILLRACE_INVALID_ARGUMENT);
  EXPECT_EQ(millrace_to_dlpack(device, address, MILLRACE_F32, 2, nullptr, nullptr, 0, &tensor),
            MILLRACE_INVALID_ARGUMENT);
  EXPECT_EQ(millrace_to_dlpack(device, address, MILLRACE_F32, 2, shape.data(), nullptr, 0, nullptr),
            MILLRACE_INVALID_ARGUMENT);
  EXPECT_EQ(tensor, nullptr);
  ASSERT_EQ(millrace_to_dlpack(device, address, MILLRACE_F32, 2, shape.data(), strides.data(), 1, &tensor),
            MILLRACE_OK)
      << millrace_last_error();
  EXPECT_EQ(tensor->dl_tensor.strides[1], 16);
  EXPECT_EQ(tensor->flags, 1u);
  tensor->deleter(tensor);
  EXPECT_EQ(millrace_deallocate(device, address), MILLRACE_INVALID_STATE);
  EXPECT_STREQ(millrace_last_rule(), "double-free");
  DLManagedTensor* old = nullptr;
  ASSERT_EQ(millrace_allocate(device, 1, 0, &address), MILLRACE_OK);
  ASSERT_EQ(millrace_to_dlpack_unversioned(device, address, MILLRACE_BOOLEAN, 0, nullptr, nullptr, &old),
            MILLRACE_OK)
      << millrace_last_error();
  EXPECT_EQ(old->dl_tensor.ndim, 0);
  EXPECT_EQ(old->dl_tensor.dtype.code, 6);
  millrace_device_release(device);
  old->deleter(old);
}

}  // namespace
}  // namespace millrace::test
