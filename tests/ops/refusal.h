#pragma once
#include <span>

#include "attend/error.h"
#include "tests/ops/refused_call.h"

// The tables of refusals_test, by concept.
namespace attend::testing {

enum Ops : unsigned {
  kVanilla = 1u << static_cast<int>(OpId::kVanilla),
  kFlash = 1u << static_cast<int>(OpId::kFlash),
  kPaged = 1u << static_cast<int>(OpId::kPaged),
  kSplash = 1u << static_cast<int>(OpId::kSplash),
  kDecode = 1u << static_cast<int>(OpId::kDecode),
  kSdpa = 1u << static_cast<int>(OpId::kSdpa),
  kRing = 1u << static_cast<int>(OpId::kRing),
  kNarrow = kVanilla | kSplash | kSdpa,  // of head_dim up to 256
  kPlain = kNarrow | kFlash | kRing,     // keys beside q, of q's dtype
  kAny = kPlain | kPaged | kDecode
};

struct Refusal {
  const char* name;
  unsigned ops;
  bool ragged;
  void (*spoil)(RefusedCall&);
  ErrorCode code;
  const char* text;          // after "<operator>: "; % stands for the operator
  bool of_contents = false;  // of what an index tensor holds; out_of_range always is
  // Of contents, where a device has other words for it: of a shape that a length is beyond.
  const char* on_device = nullptr;
};

std::span<const Refusal> word_refusals();
std::span<const Refusal> tensor_refusals();
std::span<const Refusal> mask_refusals();
std::span<const Refusal> index_refusals();
std::span<const Refusal> cache_refusals();  // words that paged, decode and splash alone have

}  // namespace attend::testing
