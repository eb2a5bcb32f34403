// Rows are independent, each is done by one thread, and few are done by the caller: at decode these
// calls take less time than it takes to wake a thread.
#include "strategies/engine/math/elementwise.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "strategies/engine/math/checks.h"
#include "strategies/engine/math/share.h"

namespace attend::engine {
namespace {

float* row_of(const TensorView& t, int64_t i) {
  return static_cast<float*>(t.data) + i * t.step(0);
}

// f(row) for every row; `ns` a guess at the time of an element.
template <class F>
void for_rows(int64_t rows, int64_t width, double ns, F&& f) {
  share(rows, static_cast<double>(rows * width) * ns, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

// A norm's weight as f32 side by side, from `scratch` where it must be converted.
const float* weight_row(const char* where, const TensorView& weight, int64_t width,
                        std::vector<float>& scratch) {
  if (!weight) return nullptr;
  expect_float(where, "weight", weight);
  if (weight.rank != 1 || weight.dim(0) != width)
    refuse(where, "weight", "shape", to_string(weight), "[" + std::to_string(width) + "]");
  expect_dense(where, "weight", weight);
  if (weight.dtype == DType::kF32) return static_cast<const float*>(weight.data);
  scratch.resize(static_cast<size_t>(width));
  math_ops().load(weight.data, elem_of(weight.dtype), width, scratch.data());
  return scratch.data();
}

// x / sqrt(mean(x^2) + eps) as a factor.
float norm_factor(const float* x, int64_t n, float eps) {
  return 1.0f / std::sqrt(math_ops().sum_of_squares(x, n) / static_cast<float>(n) + eps);
}

}  // namespace

void rms_norm(const TensorView& x, const TensorView& weight, float eps, bool weight_plus_one,
              const TensorView& y) {
  constexpr const char* kWhere = "rms_norm";
  expect_f32(kWhere, "x", x);
  expect_f32(kWhere, "y", y);
  expect_rows(kWhere, "x", x, -1, -1);
  const int64_t rows = x.dim(0), width = x.dim(1);
  expect_rows(kWhere, "y", y, rows, width);
  thread_local std::vector<float> scratch;
  const float* w = weight_row(kWhere, weight, width, scratch);
  for_rows(rows, width, 0.2, [&](int64_t i) {
    math_ops().scale(row_of(x, i), norm_factor(row_of(x, i), width, eps), w,
                     weight_plus_one ? 1.0f : 0.0f, width, row_of(y, i));
  });
}

void add_to(const TensorView& x, const TensorView& y) {
  constexpr const char* kWhere = "add_to";
  expect_f32(kWhere, "x", x);
  expect_f32(kWhere, "y", y);
  expect_rows(kWhere, "x", x, -1, -1);
  expect_rows(kWhere, "y", y, x.dim(0), x.dim(1));
  for_rows(x.dim(0), x.dim(1), 0.1,
           [&](int64_t i) { math_ops().add(row_of(x, i), x.dim(1), row_of(y, i)); });
}

void silu_mul(const TensorView& x, const TensorView& y) {
  constexpr const char* kWhere = "silu_mul";
  expect_f32(kWhere, "x", x);
  expect_f32(kWhere, "y", y);
  expect_rows(kWhere, "y", y, -1, -1);
  const int64_t width = y.dim(1);
  expect_rows(kWhere, "x", x, y.dim(0), 2 * width);
  for_rows(y.dim(0), width, 0.4, [&](int64_t i) {
    math_ops().silu_mul(row_of(x, i), row_of(x, i) + width, width, row_of(y, i));
  });
}

void sigmoid_mul(const TensorView& gate, const TensorView& y) {
  constexpr const char* kWhere = "sigmoid_mul";
  expect_f32(kWhere, "gate", gate);
  expect_f32(kWhere, "y", y);
  expect_rows(kWhere, "gate", gate, -1, -1);
  expect_rows(kWhere, "y", y, gate.dim(0), gate.dim(1));
  for_rows(y.dim(0), y.dim(1), 0.4,
           [&](int64_t i) { math_ops().sigmoid_mul(row_of(gate, i), y.dim(1), row_of(y, i)); });
}

void gather_rows(const TensorView& table, std::span<const int32_t> ids, const TensorView& y) {
  constexpr const char* kWhere = "gather_rows";
  expect_float(kWhere, "table", table);
  expect_f32(kWhere, "y", y);
  expect_rows(kWhere, "table", table, -1, -1);
  const int64_t entries = table.dim(0), width = table.dim(1);
  expect_rows(kWhere, "y", y, static_cast<int64_t>(ids.size()), width);
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= entries)
      throw Error(ErrorCode::kOutOfRange,
                  std::string(kWhere) + ": ids[" + std::to_string(i) + "] is " +
                      std::to_string(ids[i]) + ", expected 0 to " + std::to_string(entries - 1) +
                      " (table has " + std::to_string(entries) + " entries)");
  for_rows(y.dim(0), width, 0.2, [&](int64_t i) {
    const int64_t at = ids[static_cast<size_t>(i)] * table.step(0) * size_bytes(table.dtype);
    math_ops().load(static_cast<const std::byte*>(table.data) + at, elem_of(table.dtype), width,
                    row_of(y, i));
  });
}

namespace {

// n elements, any steps.
void convert_row(const std::byte* from, int64_t from_step, DType from_dtype, std::byte* to,
                 int64_t to_step, DType to_dtype, int64_t n) {
  const MathOps& ops = math_ops();
  const int64_t from_size = size_bytes(from_dtype), to_size = size_bytes(to_dtype);
  constexpr int64_t kPart = 256;
  float part[kPart];
  for (int64_t i = 0; i < n; i += kPart) {
    const int64_t count = std::min(kPart, n - i);
    const std::byte* source = from + i * from_step * from_size;
    std::byte* target = to + i * to_step * to_size;
    if (from_step == 1) {
      ops.load(source, elem_of(from_dtype), count, part);
    } else {
      for (int64_t j = 0; j < count; ++j)
        ops.load(source + j * from_step * from_size, elem_of(from_dtype), 1, part + j);
    }
    if (to_step == 1) {
      ops.store(part, count, elem_of(to_dtype), target);
    } else {
      for (int64_t j = 0; j < count; ++j)
        ops.store(part + j, 1, elem_of(to_dtype), target + j * to_step * to_size);
    }
  }
}

void convert_from(const TensorView& x, const TensorView& y, int dim, const std::byte* from,
                  std::byte* to) {
  if (dim == x.rank - 1)
    return convert_row(from, x.step(dim), x.dtype, to, y.step(dim), y.dtype, x.dim(dim));
  for (int64_t i = 0; i < x.dim(dim); ++i)
    convert_from(x, y, dim + 1, from + i * x.step(dim) * size_bytes(x.dtype),
                 to + i * y.step(dim) * size_bytes(y.dtype));
}

// cos and sin of every row's angles, [rows][cos, sin][pairs], kept between calls: all layers of a
// step ask for the same ones. The angle is rounded to f32 before its cosine is taken, as the
// programs have it whose checkpoints are read.
const float* angles(const Rotary& rotary, std::span<const int32_t> positions) {
  struct Kept {
    std::vector<float> inv_freq;
    float scale = 0.0f;
    std::vector<int32_t> positions;
    std::vector<float> table;
  };
  // Models with two kinds of layers have two sets of frequencies.
  thread_local Kept all[2];
  thread_local int last = 0;
  for (int i = 0; i < 2; ++i) {
    const Kept& kept = all[i];
    if (kept.scale == rotary.scale && kept.inv_freq == rotary.inv_freq &&
        std::equal(positions.begin(), positions.end(), kept.positions.begin(),
                   kept.positions.end())) {
      last = i;
      return kept.table.data();
    }
  }
  last = 1 - last;
  Kept& kept = all[last];
  const size_t pairs = rotary.inv_freq.size();
  kept.inv_freq = rotary.inv_freq;
  kept.scale = rotary.scale;
  kept.positions.assign(positions.begin(), positions.end());
  kept.table.resize(2 * pairs * positions.size());
  for_rows(static_cast<int64_t>(positions.size()), static_cast<int64_t>(pairs), 40.0,
           [&kept, pairs](int64_t row) {
             const auto at = static_cast<size_t>(row);
             float* cos = kept.table.data() + 2 * pairs * at;
             for (size_t i = 0; i < pairs; ++i) {
               const float angle = static_cast<float>(kept.positions[at]) * kept.inv_freq[i];
               cos[i] = static_cast<float>(std::cos(static_cast<double>(angle))) * kept.scale;
               cos[pairs + i] =
                   static_cast<float>(std::sin(static_cast<double>(angle))) * kept.scale;
             }
           });
  return kept.table.data();
}

}  // namespace

void norm_and_rotate(const TensorView& x, const HeadNorm& norm, const Rotary& rotary,
                     std::span<const int32_t> positions, const TensorView& y) {
  constexpr const char* kWhere = "norm_and_rotate";
  expect_f32(kWhere, "x", x);
  expect_float(kWhere, "y", y);
  if (x.rank != 3) refuse(kWhere, "x", "shape", to_string(x), "[rows, heads, head_dim]");
  if (y.rank != 3 || y.shape != x.shape) refuse(kWhere, "y", "shape", to_string(y), to_string(x));
  const int64_t rows = x.dim(0), heads = x.dim(1), width = x.dim(2);
  const auto pairs = static_cast<int64_t>(rotary.inv_freq.size());
  if (static_cast<int64_t>(positions.size()) != rows)
    refuse(kWhere, "positions", "count", std::to_string(positions.size()), std::to_string(rows));
  if (2 * pairs > width)
    refuse(kWhere, "rotary.inv_freq", "count", std::to_string(pairs),
           "at most " + std::to_string(width / 2) + ", half of head_dim");
  thread_local std::vector<float> scratch;
  const float* w = weight_row(kWhere, norm.weight, width, scratch);
  const float* const table = angles(rotary, positions);
  const MathOps& ops = math_ops();
  const int64_t y_size = size_bytes(y.dtype);
  for_rows(rows, heads * width, 0.5, [&](int64_t row) {
    thread_local std::vector<float> head;
    head.resize(static_cast<size_t>(width));
    const float* cos = table + 2 * pairs * row;
    for (int64_t h = 0; h < heads; ++h) {
      const float* from = row_of(x, row) + h * x.step(1);
      float* const at = head.data();
      if (x.step(2) != 1) {
        convert_row(reinterpret_cast<const std::byte*>(from), x.step(2), DType::kF32,
                    reinterpret_cast<std::byte*>(at), 1, DType::kF32, width);
        from = at;
      }
      if (w != nullptr)
        ops.scale(from, norm_factor(from, width, norm.eps), w, norm.weight_plus_one ? 1.0f : 0.0f,
                  width, at);
      else if (from != at)
        std::copy_n(from, width, at);
      ops.rotate(cos, cos + pairs, pairs, at);
      auto* to = static_cast<std::byte*>(y.data) + (row * y.step(0) + h * y.step(1)) * y_size;
      convert_row(reinterpret_cast<const std::byte*>(at), 1, DType::kF32, to, y.step(2), y.dtype,
                  width);
    }
  });
}

void convert(const TensorView& x, const TensorView& y) {
  constexpr const char* kWhere = "convert";
  expect_float(kWhere, "x", x);
  expect_float(kWhere, "y", y);
  if (x.rank != y.rank || x.shape != y.shape)
    refuse(kWhere, "y", "shape", to_string(y), to_string(x));
  if (x.rank == 0) return;
  const auto* from = static_cast<const std::byte*>(x.data);
  auto* to = static_cast<std::byte*>(y.data);
  if (x.rank == 1) return convert_from(x, y, 0, from, to);
  for_rows(x.dim(0), x.dim(0) > 0 ? x.num_elements() / x.dim(0) : 0, 0.3, [&](int64_t i) {
    convert_from(x, y, 1, from + i * x.step(0) * size_bytes(x.dtype),
                 to + i * y.step(0) * size_bytes(y.dtype));
  });
}

}  // namespace attend::engine
