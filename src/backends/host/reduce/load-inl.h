// Elements to vectors, and asking for them in time; compiled once for each instruction set.
#if defined(MILLRACE_HOST_REDUCE_LOAD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_HOST_REDUCE_LOAD_INL_H
#undef MILLRACE_HOST_REDUCE_LOAD_INL_H
#else
#define MILLRACE_HOST_REDUCE_LOAD_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "backends/host/reduce/element.h"
#include "backends/host/reduce/targets.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::host::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// As many leaves as Element::load would give for the elements there.
template <DType kType, class D>
HWY_INLINE hn::Vec<D> load_vector(D d, const typename Element<kType>::Stored* from) {
  if constexpr (kType == DType::bf16) {
    const hn::Rebind<hwy::bfloat16_t, D> narrow;
    return hn::PromoteTo(d, hn::LoadU(narrow, reinterpret_cast<const hwy::bfloat16_t*>(from)));
  } else if constexpr (kType == DType::f16) {
    const hn::Rebind<hwy::float16_t, D> narrow;
    return hn::PromoteTo(d, hn::LoadU(narrow, reinterpret_cast<const hwy::float16_t*>(from)));
  } else {
    return hn::LoadU(d, from);
  }
}

/// Two vectors of the elements there, in any order: for bf16 that is an instruction each.
template <DType kType, class D>
HWY_INLINE void load_two(D d, const typename Element<kType>::Stored* from, hn::Vec<D>& a, hn::Vec<D>& b) {
  if constexpr (kType == DType::bf16) {
    const hn::RebindToUnsigned<D> bits;
    const auto pairs = hn::LoadU(bits, reinterpret_cast<const hn::TFromD<decltype(bits)>*>(from));
    a = hn::BitCast(d, hn::ShiftLeft<16>(pairs));
    b = hn::BitCast(d, hn::And(pairs, hn::Set(bits, 0xffff0000U)));
  } else {
    a = load_vector<kType>(d, from);
    b = load_vector<kType>(d, from + hn::Lanes(d));
  }
}

/// How far ahead loops ask that read one place of memory, and those that read four in turn; what measured
/// best, see docs/decisions/reductions.md.
inline constexpr std::int64_t kAheadOfOne = 2048;
inline constexpr std::int64_t kAheadOfFour = 1024;

/// Asks for the memory so many bytes behind the n elements that are looked at: a loop that computes as much
/// as a scan does not reach it in time by itself. Past the end of the tensor it does no harm.
template <typename T>
HWY_INLINE void prefetch(const T* from, std::int64_t n, std::int64_t ahead) {
  constexpr std::int64_t kLine = 64;
  const auto* bytes = reinterpret_cast<const char*>(from) + ahead;
  for (std::int64_t at = 0; at < n * static_cast<std::int64_t>(sizeof(T)); at += kLine) {
    __builtin_prefetch(bytes + at, 0, 3);
  }
}

}  // namespace millrace::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
