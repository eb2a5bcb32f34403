#include "tests/gdn/cases.h"

#include <ostream>

namespace attend::testing {

int64_t GdnCase::taps() const {
  switch (conv) {
    case GdnConv::kNone: return 0;
    case GdnConv::kOneTap: return 1;
    case GdnConv::kThreeTaps: return 3;
    default: return 4;
  }
}

std::vector<int64_t> GdnCase::lengths() const {
  std::vector<int64_t> all(static_cast<size_t>(batch), seqlen);
  if (layout == GdnLayout::kDense) return all;
  for (size_t b = 1; b < all.size(); ++b) all[b] = b % 2 == 1 ? 0 : (seqlen + 2) / 3;
  return all;
}

std::string name(const GdnCase& c) {
  static constexpr const char* kLayouts[] = {"dense", "ragged", "ragged64"};
  static constexpr const char* kStrides[] = {"", "_hf", "_step2", "_neg", "_bcast", "_odd"};
  static constexpr const char* kStateStrides[] = {"", "_kv", "_sneg", "_sstep2"};
  static constexpr const char* kDecays[] = {"g", "alpha", "gates", "chg", "chalpha"};
  static constexpr const char* kRanges[] = {"near1", "mixed", "strong", "steep"};
  static constexpr const char* kStates[] = {"none", "inplace", "apart", "final", "same"};
  static constexpr const char* kSlots[] = {"", "_slots", "_slots64", "_padding"};
  static constexpr const char* kConvs[] = {"", "_conv1", "_conv3", "_conv4b", "_conv4p"};
  static constexpr const char* kNorms[] = {"", "_norm32", "_norm"};
  static constexpr const char* kScales[] = {"", "_scale", "_scale0", "_scaleneg"};
  const auto at = [](auto& names, auto value) { return names[static_cast<size_t>(value)]; };
  std::string text = attend::name(c.dtype);
  if (c.out_f32) text += "out32";
  text += std::string("_") + at(kLayouts, c.layout) + at(kStrides, c.strides) +
          at(kStateStrides, c.state_strides);
  text += "_h" + std::to_string(c.sizes.k_heads) + "x" + std::to_string(c.sizes.v_heads) + "_k" +
          std::to_string(c.sizes.k_dim) + "v" + std::to_string(c.sizes.v_dim);
  text += "_b" + std::to_string(c.batch) + "n" + std::to_string(c.seqlen) + "_chunk" +
          std::to_string(c.chunk);
  text += std::string("_") + at(kDecays, c.decay) + at(kRanges, c.range);
  text += std::string(c.gated_beta ? "_b" : "_beta") + (c.normalize ? "_l2" : "") +
          at(kScales, c.scale) + "_" + at(kStates, c.states) + at(kSlots, c.slots) +
          at(kConvs, c.conv) + (c.conv_state ? "_past" : "") + at(kNorms, c.norm);
  return text;
}

void PrintTo(const GdnCase& c, std::ostream* stream) { *stream << name(c); }

}  // namespace attend::testing
