// y = x W^T + b over packed panels of outputs.
//
//   task     a group of panels x up to kRowBlock rows; a panel's words are cut into stretches that
//            stay in the first level of cache while the rows pass by, their sums waiting in y
//   few rows the weights pass once, as memory gives them
//   bits     a sum is one chain over the inputs in their order (isa/math_ops.h), so neither threads,
//            nor the cut of tasks, nor the number of rows can show
#include "strategies/engine/math/linear.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "strategies/engine/math/checks.h"
#include "strategies/engine/math/packed.h"
#include "strategies/engine/math/share.h"

namespace attend::engine {
namespace {

constexpr int64_t kStretch = 128;  // words: 32 KiB of a panel
constexpr int64_t kFewRows = 6;    // up to which a panel is read once anyway
constexpr int64_t kRowBlock = 192;

// Guesses, for sharing alone: bytes and multiply-adds a nanosecond of one thread.
constexpr double kBytesPerNs = 30.0, kProductsPerNs = 60.0;

void expect_part(const Linear::Part& part, int64_t in) {
  constexpr const char* kWhere = "Linear";
  const TensorView& w = part.weight;
  expect_float(kWhere, "weight", w);
  expect_rows(kWhere, "weight", w, -1, in);
  if (!part.bias) return;
  expect_float(kWhere, "bias", part.bias);
  if (part.bias.rank != 1 || part.bias.dim(0) != w.dim(0))
    refuse(kWhere, "bias", "shape", to_string(part.bias), "[" + std::to_string(w.dim(0)) + "]");
}

// The rows of x as the kernels take them.
struct Rows {
  const float* data;
  int64_t stride;
};

// bf16 takes x rounded: as words where a word of weights meets a word of x, else as f32. Kept by
// the thread between calls.
Rows rounded(const TensorView& x, const PackedWeights& p) {
  thread_local std::vector<float> kept;
  const MathOps& ops = math_ops();
  const int64_t rows = x.dim(0), stride = p.words * (ops.pairs ? 1 : 2);
  if (kept.size() < static_cast<size_t>(rows * stride))
    kept.resize(static_cast<size_t>(rows * stride));
  float* const to = kept.data();
  share(rows, static_cast<double>(rows * p.in) / 8.0, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* from = static_cast<const float*>(x.data) + r * x.step(0);
      float* row = to + r * stride;
      auto* halves = reinterpret_cast<uint16_t*>(row);
      if (ops.pairs) {
        ops.store(from, p.in, Elem::kBF16, halves);
        if (p.in % 2 != 0) halves[p.in] = 0;
      } else {
        // Rounded in the upper half of the row, then widened from its lower end.
        halves += 2 * p.words;
        ops.store(from, p.in, Elem::kBF16, halves);
        if (p.in % 2 != 0) halves[p.in] = 0;
        ops.load(halves, Elem::kBF16, 2 * p.words, row);
      }
    }
  });
  return {to, stride};
}

}  // namespace

struct Linear::Packed {
  PackedWeights weights;

  void multiply(const Rows& x, int64_t rows, float* y, int64_t y_stride) const;
};

void Linear::Packed::multiply(const Rows& x, int64_t rows, float* y, int64_t y_stride) const {
  const PackedWeights& p = weights;
  const MathOps& ops = math_ops();
  const bool bf16 = p.dtype == DType::kBF16;
  const auto product = bf16 ? ops.multiply_bf16 : ops.multiply_f32;
  const int64_t x_words = bf16 && !ops.pairs ? 2 : 1;  // floats of x for a word of weights
  const int64_t stretch = rows <= kFewRows ? std::max<int64_t>(p.words, 1) : kStretch;
  const int64_t blocks = (rows + kRowBlock - 1) / kRowBlock;
  const double ns =
      std::max(static_cast<double>(p.bytes()) / kBytesPerNs,
               static_cast<double>(rows) * static_cast<double>(p.in * p.out) / kProductsPerNs);
  share(blocks * p.panels, ns, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t block = i / p.panels, panel = i % p.panels, first = block * kRowBlock;
      PanelCall c{};
      c.x_stride = x.stride;
      c.y = y + first * y_stride + panel * kPanel;
      c.y_stride = y_stride;
      c.rows = std::min(kRowBlock, rows - first);
      c.columns = static_cast<int32_t>(std::min<int64_t>(kPanel, p.out - panel * kPanel));
      int64_t word = 0;
      do {
        c.x = x.data + first * x.stride + word * x_words;
        c.weights = p.panel(panel) + word * kPanel;
        c.words = std::min(stretch, p.words - word);
        c.onto = word > 0;
        word += c.words;
        c.bias = word == p.words ? p.bias_of(panel) : nullptr;
        product(c);
      } while (word < p.words);
    }
  });
}

Linear::Linear() = default;
Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;
Linear::~Linear() = default;

Linear::Linear(std::span<const Part> parts, DType compute) {
  if (parts.empty())
    throw Error(ErrorCode::kInvalidArgument, "Linear: parts count is 0, expected 1 or more");
  if (compute != DType::kF32 && compute != DType::kBF16)
    refuse("Linear", "compute", "dtype", name(compute), "f32 or bf16");
  for (const Part& part : parts)
    expect_part(part, &part == parts.data() ? -1 : parts[0].weight.dim(1));
  packed_ = std::make_unique<Packed>(Packed{PackedWeights(parts, compute)});
}

int64_t Linear::in() const noexcept { return packed_ ? packed_->weights.in : 0; }
int64_t Linear::out() const noexcept { return packed_ ? packed_->weights.out : 0; }
uint64_t Linear::weight_bytes() const noexcept { return packed_ ? packed_->weights.bytes() : 0; }

void Linear::run(const TensorView& x, const TensorView& y, bool batch_invariant) const {
  constexpr const char* kWhere = "Linear::run";
  static_cast<void>(batch_invariant);
  expect_f32(kWhere, "x", x);
  expect_f32(kWhere, "y", y);
  expect_rows(kWhere, "x", x, -1, in());
  expect_rows(kWhere, "y", y, x.dim(0), out());
  const int64_t rows = x.dim(0);
  if (rows == 0 || out() == 0) return;
  const Rows from = packed_->weights.dtype == DType::kBF16
                        ? rounded(x, packed_->weights)
                        : Rows{static_cast<const float*>(x.data), x.step(0)};
  packed_->multiply(from, rows, static_cast<float*>(y.data), y.step(0));
}

}  // namespace attend::engine
