#include "strategies/engine/math/packed.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "attend/error.h"
#include "attend/parallel.h"
#include "strategies/engine/math/math_ops.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace attend::engine {
namespace {

constexpr int64_t kWordBlock = 16;  // words are padded to so many, and packed so many at a time
constexpr uint64_t kHugePage = uint64_t{2} << 20;

// One output's inputs in the checkpoint; null for a padded output.
struct Source {
  const std::byte* row = nullptr;
  DType dtype = DType::kF32;
};

// Words [word, word + kWordBlock) of one output, zeros beyond its inputs.
void read_words(const Source& from, const PackedWeights& p, int64_t word, uint32_t* words) {
  const MathOps& ops = math_ops();
  std::memset(words, 0, kWordBlock * sizeof(uint32_t));
  const int64_t per_word = p.dtype == DType::kBF16 ? 2 : 1, first = word * per_word;
  const int64_t count = std::min(kWordBlock * per_word, p.in - first);
  if (from.row == nullptr || count <= 0) return;
  const std::byte* at = from.row + first * size_bytes(from.dtype);
  if (from.dtype == p.dtype) {
    std::memcpy(words, at, static_cast<size_t>(count * size_bytes(p.dtype)));
    return;
  }
  float values[2 * kWordBlock];
  ops.load(at, elem_of(from.dtype), count, values);
  ops.store(values, count, elem_of(p.dtype), words);
}

}  // namespace

PanelMemory::PanelMemory(uint64_t bytes) {
  const uint64_t unit = bytes >= kHugePage ? kHugePage : 64;
  void* p = nullptr;
  if (bytes > UINT64_MAX - unit || posix_memalign(&p, unit, std::max<uint64_t>(bytes, 64)) != 0)
    throw Error(ErrorCode::kOutOfMemory,
                "Linear: no memory of " + std::to_string(bytes) + " bytes for packed weights");
  data_.reset(static_cast<float*>(p));
#if defined(__linux__)
  // Whole pages only: a huge page for the rest would take memory that is never used.
  if (bytes >= kHugePage)
    static_cast<void>(madvise(p, bytes / kHugePage * kHugePage, MADV_HUGEPAGE));
#endif
}

void PanelMemory::Free::operator()(float* p) const { std::free(p); }

PackedWeights::PackedWeights(std::span<const Linear::Part> parts, DType compute)
    : dtype(compute), in(parts[0].weight.dim(1)) {
  bool any_bias = false;
  for (const Linear::Part& part : parts) {
    out += part.weight.dim(0);
    any_bias = any_bias || part.bias;
  }
  words = dtype == DType::kBF16 ? (in + 1) / 2 : in;
  padded_words = (words + kWordBlock - 1) / kWordBlock * kWordBlock;
  panels = (out + kPanel - 1) / kPanel;
  memory = PanelMemory(bytes());

  std::vector<Source> rows(static_cast<size_t>(panels * kPanel));
  size_t row = 0;
  for (const auto& [weight, unused] : parts)
    for (int64_t i = 0; i < weight.dim(0); ++i)
      rows[row++] = {static_cast<const std::byte*>(weight.data) +
                         i * weight.step(0) * size_bytes(weight.dtype),
                     weight.dtype};
  parallel_for(panels, [&](int64_t panel, int32_t) {
    auto* to = reinterpret_cast<uint32_t*>(memory.data() + panel * padded_words * kPanel);
    const Source* from = rows.data() + panel * kPanel;
    for (int64_t word = 0; word < padded_words; word += kWordBlock) {
      for (int64_t output = 0; output < kPanel; ++output) {
        uint32_t block[kWordBlock];
        read_words(from[output], *this, word, block);
        for (int64_t w = 0; w < kWordBlock; ++w) to[(word + w) * kPanel + output] = block[w];
      }
    }
  });

  if (!any_bias) return;
  bias = PanelMemory(static_cast<uint64_t>(panels * kPanel) * sizeof(float));
  std::fill_n(bias.data(), panels * kPanel, 0.0f);
  float* at = bias.data();
  for (const auto& [weight, given] : parts) {
    for (int64_t i = 0; given && i < given.dim(0); ++i)
      math_ops().load(
          static_cast<const std::byte*>(given.data) + i * given.step(0) * size_bytes(given.dtype),
          elem_of(given.dtype), 1, at + i);
    at += weight.dim(0);
  }
}

}  // namespace attend::engine
