// y = x W^T + b over packed panels of outputs.
//
//   task     a group of panels x up to kRowBlock rows; a panel's words are cut into stretches that
//            stay in the first level of cache while the rows pass by, their sums waiting in y
//   few rows the weights pass once, as memory gives them
//   more     rows go to oneDNN, which reads the same copy of the weights (packed.h), unless the call
//            is to be batch invariant
//   bits     an own sum is one chain over the inputs in their order (isa/math_ops.h), so neither
//            threads, nor the cut of tasks, nor the number of rows can show; this is what batch
//            invariant calls get, without padding. oneDNN promises less, so its blocks and slices
//            depend on shapes alone.
#include "strategies/engine/math/linear.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <vector>

#include "strategies/engine/math/checks.h"
#include "strategies/engine/math/onednn_product.h"
#include "strategies/engine/math/packed.h"
#include "strategies/engine/math/share.h"
#include "strategies/engine/math/step_times.h"

namespace attend::engine {
namespace {

constexpr int64_t kStretch = 128;  // words: 32 KiB of a panel
constexpr int64_t kFewRows = 6;    // up to which a panel is read once anyway
constexpr int64_t kRowBlock = 192;

// From so many rows on oneDNN is faster (Zen 5, 6 rows: the own kernels by 5 to 12 %; 8: oneDNN by
// 10 to 18 %, 32: by 10 to 17).
[[maybe_unused]] constexpr int64_t kOneDnnRows = 8;

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
  int64_t stride;  // in floats, which hold two bf16 each where x is rounded to pairs

  Rows from(int64_t row) const { return {data + row * stride, stride}; }
};

// Rounded to bf16: as words where `pairs`, else as f32. `kept` grows to what is needed.
Rows rounded(const Rows& x, int64_t rows, const PackedWeights& p, bool pairs,
             std::vector<float>& kept) {
  const MathOps& ops = math_ops();
  const int64_t stride = p.words * (pairs ? 1 : 2);
  if (kept.size() < static_cast<size_t>(rows * stride))
    kept.resize(static_cast<size_t>(rows * stride));
  float* const to = kept.data();
  share(rows, static_cast<double>(rows * p.in) / 8.0, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = to + r * stride;
      // Where f32 is wanted, in the upper half of the row first, then widened from its lower end.
      auto* halves = reinterpret_cast<uint16_t*>(row) + (pairs ? 0 : 2 * p.words);
      ops.store(x.data + r * x.stride, p.in, Elem::kBF16, halves);
      if (p.in % 2 != 0) halves[p.in] = 0;
      if (!pairs) ops.load(halves, Elem::kBF16, 2 * p.words, row);
    }
  });
  return {to, stride};
}

double guess_ns(const PackedWeights& p, int64_t rows) {
  return std::max(static_cast<double>(p.bytes()) / kBytesPerNs,
                  static_cast<double>(rows) * static_cast<double>(p.in * p.out) / kProductsPerNs);
}

// All sums of these rows by the own kernels; x as they take it.
void multiply(const PackedWeights& p, const Rows& x, int64_t rows, float* y, int64_t y_stride) {
  const MathOps& ops = math_ops();
  const bool bf16 = p.dtype == DType::kBF16;
  const auto product = bf16 ? ops.multiply_bf16 : ops.multiply_f32;
  const int64_t x_words = bf16 && !ops.pairs ? 2 : 1;  // floats of x for a word of weights
  const int64_t stretch = rows <= kFewRows ? std::max<int64_t>(p.words, 1) : kStretch;
  const int64_t blocks = (rows + kRowBlock - 1) / kRowBlock;
  share(blocks * p.panels, guess_ns(p, rows), [&](int64_t begin, int64_t end) {
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

#if defined(ATTEND_HAVE_ONEDNN)

// oneDNN takes rows in blocks and outputs in slices whose sizes depend on the call's shape alone,
// so that threads cannot show. What is left of the rows, if enough, is a block of its own size; its
// primitive is made in 0.3 ms.
int64_t block_rows(int64_t rows) {
  for (const int64_t size : {256, 128})
    if (rows >= size) return size;
  return rows;
}
int64_t slice_panels(int64_t panels) { return panels >= 256 ? 8 : 4; }

// The sums of a slice to where they belong.
void store_slice(const float* sums, int64_t rows, int64_t columns, const float* bias, float* y,
                 int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r, sums += columns, y += y_stride) {
    if (bias == nullptr)
      std::memcpy(y, sums, static_cast<size_t>(columns) * sizeof(float));
    else
      for (int64_t i = 0; i < columns; ++i) y[i] = sums[i] + bias[i];
  }
}

// The first rows of x, as many as returned, by oneDNN; x is f32 or pairs, without gaps.
int64_t multiply_onednn(const PackedWeights& p, const Rows& x, int64_t rows, float* y,
                        int64_t y_stride) {
  struct Block {
    int64_t first, rows;
    std::shared_ptr<const OneDnnSlice> whole, last;  // slices of a size, and what is left
  };
  const int64_t step = slice_panels(p.panels), slices = (p.panels + step - 1) / step;
  const int64_t width = step * kPanel, last_width = p.out - (slices - 1) * width;
  std::vector<Block> blocks;
  int64_t done = 0;
  while (rows - done >= kOneDnnRows) {
    Block b{done, block_rows(rows - done), nullptr, nullptr};
    b.last = OneDnnSlice::find({p.dtype, b.rows, p.in, last_width});
    b.whole = slices > 1 ? OneDnnSlice::find({p.dtype, b.rows, p.in, width}) : b.last;
    if (b.whole == nullptr || b.last == nullptr) break;
    done += b.rows;
    blocks.push_back(std::move(b));
  }
  std::atomic<bool> refused{false};
  const auto count = static_cast<int64_t>(blocks.size());
  share(slices * count, guess_ns(p, done) / 2, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> sums;
    for (int64_t i = begin; i < end; ++i) {
      const Block& b = blocks[static_cast<size_t>(i % count)];
      const int64_t slice = i / count, panel = slice * step;
      const bool whole = slice + 1 < slices;
      const int64_t columns = whole ? width : last_width;
      if (sums.size() < static_cast<size_t>(b.rows * columns))
        sums.resize(static_cast<size_t>(b.rows * columns));
      const OneDnnSlice& product = whole ? *b.whole : *b.last;
      if (product.run(x.from(b.first).data, p.panel(panel), sums.data()))
        store_slice(sums.data(), b.rows, columns, p.bias_of(panel),
                    y + b.first * y_stride + panel * kPanel, y_stride);
      else
        refused = true;
    }
  });
  return refused ? 0 : done;
}

#else

int64_t multiply_onednn(const PackedWeights&, const Rows&, int64_t, float*, int64_t) { return 0; }

#endif

}  // namespace

struct Linear::Packed {
  PackedWeights weights;
};

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
  expect_f32(kWhere, "x", x);
  expect_f32(kWhere, "y", y);
  expect_rows(kWhere, "x", x, -1, in());
  expect_rows(kWhere, "y", y, x.dim(0), out());
  const int64_t rows = x.dim(0);
  if (rows == 0 || out() == 0) return;
  const Timed timed(&StepTimes::products);
  const PackedWeights& p = packed_->weights;
  const bool bf16 = p.dtype == DType::kBF16, pairs = math_ops().pairs;
  const Rows given{static_cast<const float*>(x.data), x.step(0)};
  auto* const to = static_cast<float*>(y.data);
  thread_local std::vector<float> words, floats;  // kept from call to call

  int64_t done = 0;
  Rows from = given;
  const bool vendor = !batch_invariant && rows >= kOneDnnRows && in() > 0 &&
                      (bf16 ? in() % 2 == 0 : x.step(0) == in());
  if (bf16 && (pairs || vendor)) from = rounded(given, rows, p, true, words);
  if (vendor) done = multiply_onednn(p, from, rows, to, y.step(0));
  if (done == rows) return;
  from =
      bf16 && !pairs ? rounded(given.from(done), rows - done, p, false, floats) : from.from(done);
  multiply(p, from, rows - done, to + done * y.step(0), y.step(0));
}

}  // namespace attend::engine
