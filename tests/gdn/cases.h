#pragma once
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "attend/tensor.h"
#include "tests/gdn/oracle.h"
#include "tests/support/cases.h"

// One gdn call, by its settings; prints as "f32_dense_h2x4_k16v8_g_n40_chunk16_...".
namespace attend::testing {

enum class GdnLayout : uint8_t { kDense, kRaggedI32, kRaggedI64 };
enum class GdnDecay : uint8_t { kG, kAlpha, kGates, kChannelG, kChannelAlpha };
enum class GdnRange : uint8_t { kNearOne, kMixed, kStrong, kSteep };  // of the decays
enum class GdnStates : uint8_t { kNone, kInPlace, kApart, kFinalOnly, kSameView };
enum class GdnSlots : uint8_t { kNone, kI32, kI64, kPadding };
enum class GdnStateStrides : uint8_t { kContiguous, kKeysFirst, kNegative, kLastStep2 };
enum class GdnConv : uint8_t { kNone, kOneTap, kThreeTaps, kFourBias, kFourPlain };
enum class GdnNorm : uint8_t { kNone, kF32Weight, kLikeQ };

struct GdnCase {
  DType dtype = DType::kF32;
  bool out_f32 = false;
  GdnLayout layout = GdnLayout::kDense;
  Strides strides = Strides::kContiguous;
  GdnStateStrides state_strides = GdnStateStrides::kContiguous;
  GdnSizes sizes{2, 4, 16, 8};
  int64_t batch = 3, seqlen = 17;  // ragged: the longest; others are shorter, one is empty
  GdnDecay decay = GdnDecay::kG;
  GdnRange range = GdnRange::kMixed;
  bool gated_beta = false;
  bool normalize = true;
  Scale scale = Scale::kDefault;
  int32_t chunk = 64;
  GdnStates states = GdnStates::kInPlace;
  GdnSlots slots = GdnSlots::kNone;
  GdnConv conv = GdnConv::kNone;
  bool conv_state = false;
  GdnNorm norm = GdnNorm::kNone;

  int64_t taps() const;
  int64_t channels() const { return 2 * sizes.k_heads * sizes.k_dim + sizes.v_heads * sizes.v_dim; }
  // Rows of each sequence.
  std::vector<int64_t> lengths() const;
};

std::string name(const GdnCase& c);
void PrintTo(const GdnCase& c, std::ostream* stream);

// Cases in which every two settings of different words occur together.
const std::vector<GdnCase>& gdn_pairs();
size_t gdn_missing_pairs();  // how many two settings occur nowhere together

}  // namespace attend::testing
