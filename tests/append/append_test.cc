// Storing new rows at their slots: every element type of rows and caches, pages by any strides,
// descales of every shape. What is expected is computed byte by byte, so that the whole of a cache's
// memory is held to it: only addressed slots change.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>

#include "attend/parallel.h"
#include "tests/append/cache_codes.h"
#include "tests/support/devices.h"
#include "tests/support/element.h"
#include "tests/support/memory.h"
#include "tests/support/run_row.h"

namespace attend::testing {
namespace {

std::vector<const AttentionKernel*> rows() {
  std::vector<const AttentionKernel*> list;
  for (const AttentionKernel& row : test_rows(OpId::kAppend))
    if (row.available(Device{row.device, 0})) list.push_back(&row);
  return list;
}
void run(const AttentionKernel* row, const AttentionArgs& args) {
  EXPECT_STREQ(run_row(*row, args, {}).kernel, row->name);
}

bool quantised(DType dtype) { return size_bytes(dtype) == 1; }

// Memory of a tensor, full of noise: bytes of every value.
struct Noise {
  std::unique_ptr<Block> block;
  TensorView view;

  Noise() = default;
  Noise(DType dtype, const std::vector<int64_t>& shape, Strides strides, uint32_t seed) {
    const Placement p = place(shape, strides, 1, 2, false);
    block = std::make_unique<Block>(static_cast<size_t>(p.elements * size_bytes(dtype)));
    view = view_of(block->data(), dtype, shape, p);
    std::mt19937 random(seed);
    for (size_t n = 0; n < block->size(); ++n) block->data()[n] = static_cast<std::byte>(random());
  }
  std::vector<std::byte> bytes() const { return {block->data(), block->data() + block->size()}; }
  int64_t offset(const void* at) const {  // in bytes
    return static_cast<const std::byte*>(at) - block->data();
  }
};

// Numbers of sizes that meet every part of a cache's range.
void fill_numbers(const TensorView& t, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> exponent(-12, 10), sign(-1, 1);
  for (int64_t i = 0; i < t.dim(0); ++i)
    for (int64_t h = 0; h < t.dim(1); ++h)
      for (int64_t d = 0; d < t.dim(2); ++d)
        store(t.dtype, address_of(t, {i, h, d}),
              std::copysign(std::exp2(exponent(random)), sign(random)));
}

struct Case {
  DType rows, k, v;
  Strides pages = Strides::kContiguous, of_rows = Strides::kContiguous;
  DType index = DType::kI64;
  int descale = 0;  // 0 none, 1 rank 0, 2 [1], 3 [kv_heads], 4 [1, kv_heads]
  int64_t pages_count = 5, page_size = 3, heads = 2, head_dim = 8, v_dim = 4;
};

class Appended {
 public:
  Appended(const Case& c, std::vector<int64_t> slots) : c_(c), slots_(std::move(slots)) {
    const auto tokens = static_cast<int64_t>(slots_.size());
    k = Noise(c.k, {c.pages_count, c.page_size, c.heads, c.head_dim}, c.pages, 1);
    v = Noise(c.v, {c.pages_count, c.page_size, c.heads, c.v_dim}, c.pages, 2);
    // Rows of k_new stand one after the other: position 0, head 1.
    k_new = rows_of(c.head_dim, tokens, 3), v_new = rows_of(c.v_dim, tokens, 4);
    fill_numbers(k_new.view, 5), fill_numbers(v_new.view, 6);
    for (int64_t s : slots_) narrow_.push_back(static_cast<int32_t>(s));
    args.k = k.view, args.v = v.view, args.k_new = k_new.view, args.v_new = v_new.view;
    args.seq.slot_mapping = c.index == DType::kI64
                                ? contiguous(slots_.data(), DType::kI64, {tokens})
                                : contiguous(narrow_.data(), DType::kI32, {tokens});
    if (quantised(c.k)) args.k_descale = descale(k_descale);
    if (quantised(c.v)) args.v_descale = descale(v_descale);
  }
  // The caches' memory as it must be afterwards.
  std::vector<std::byte> wanted(const Noise& cache, const TensorView& from,
                                const std::vector<float>& scales) const {
    std::vector<std::byte> bytes = cache.bytes();
    const CacheCodes codes(quantised(cache.view.dtype) ? cache.view.dtype : DType::kI8);
    const auto size = static_cast<size_t>(size_bytes(cache.view.dtype));
    for (int64_t t = 0; t < from.dim(0); ++t) {
      const int64_t slot = slots_[static_cast<size_t>(t)];
      if (slot < 0) continue;
      for (int64_t h = 0; h < c_.heads; ++h)
        for (int64_t d = 0; d < from.dim(2); ++d) {
          const void* src = address_of(from, {t, h, d});
          std::byte* dst =
              bytes.data() + cache.offset(address_of(
                                 cache.view, {slot / c_.page_size, slot % c_.page_size, h, d}));
          if (from.dtype == cache.view.dtype) {
            std::memcpy(dst, src, size);
          } else if (quantised(cache.view.dtype)) {
            const float scale = c_.descale == 0 ? 1 : scales[c_.descale < 3 ? 0 : h];
            *dst = static_cast<std::byte>(codes.nearest(load(from.dtype, src), scale));
          } else {
            store(cache.view.dtype, dst, load(from.dtype, src));
          }
        }
    }
    return bytes;
  }
  void expect_stored(const AttentionKernel* row) {
    const auto want_k = wanted(k, args.k_new, k_descale), want_v = wanted(v, args.v_new, v_descale);
    const auto rows_k = k_new.bytes(), rows_v = v_new.bytes();
    run(row, args);
    EXPECT_TRUE(k.bytes() == want_k);
    EXPECT_TRUE(v.bytes() == want_v);
    EXPECT_TRUE(k_new.bytes() == rows_k && v_new.bytes() == rows_v);
  }

  Noise k, v, k_new, v_new;
  std::vector<float> k_descale = {0.37f, 3.1f}, v_descale = {1.7f, 0.011f};
  AttentionArgs args;

 private:
  Noise rows_of(int64_t dim, int64_t tokens, uint32_t seed) const {
    Noise t(c_.rows, {1, tokens, c_.heads, dim}, c_.of_rows, seed);
    for (size_t i = 0; i + 1 < 4; ++i)  // without the leading 1
      t.view.shape[i] = t.view.shape[i + 1], t.view.stride[i] = t.view.stride[i + 1];
    t.view.rank = 3;
    return t;
  }
  TensorView descale(std::vector<float>& scales) const {
    switch (c_.descale) {
      case 1: return contiguous(scales.data(), DType::kF32, std::initializer_list<int64_t>{});
      case 2: return contiguous(scales.data(), DType::kF32, {1});
      case 3: return contiguous(scales.data(), DType::kF32, {2});
      case 4: return contiguous(scales.data(), DType::kF32, {1, 2});
      default: return {};
    }
  }

  Case c_;
  std::vector<int64_t> slots_;
  std::vector<int32_t> narrow_;
};

const std::vector<int64_t> kSlots = {4, -1, 14, 0, -7, 9, 2, 1};
constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};
constexpr DType kCaches[] = {DType::kF32,    DType::kF16,    DType::kBF16,
                             DType::kF8E4M3, DType::kF8E5M2, DType::kI8};

TEST(Append, StoresEveryTypeAtItsSlot) {
  constexpr Strides kStrides[] = {Strides::kContiguous, Strides::kHeadsFirst, Strides::kLastStep2,
                                  Strides::kNegative, Strides::kOddBase};
  for (const AttentionKernel* row : rows()) {
    int n = 0;
    for (DType from : kFloats)
      for (DType k : kCaches)
        for (DType v : kCaches)
          for (int descale : {0, 1, 2, 3, 4}) {
            const Case c{from,
                         k,
                         v,
                         kStrides[n % 5],
                         kStrides[n / 5 % 5],
                         n % 2 ? DType::kI32 : DType::kI64,
                         descale};
            ++n;
            SCOPED_TRACE(std::string(row->name) + " " + name(from) + " into " + name(k) + " " +
                         name(v) + " descale " + std::to_string(descale) + " case " +
                         std::to_string(n));
            Appended(c, kSlots).expect_stored(row);
          }
  }
}

TEST(Append, LongRowsAndManyTokens) {
  for (const AttentionKernel* row : rows())
    for (DType cache : {DType::kBF16, DType::kF8E4M3, DType::kF32}) {
      std::vector<int64_t> slots(100);  // every slot, in a mixed order
      for (size_t n = 0; n < slots.size(); ++n) slots[n] = static_cast<int64_t>(n * 37 % 100);
      Case c{DType::kBF16, cache, cache};
      c.pages_count = 25, c.page_size = 4, c.heads = 1, c.head_dim = 576, c.v_dim = 257;
      c.descale = quantised(cache) ? 1 : 0;
      Appended(c, slots).expect_stored(row);
    }
}

TEST(Append, PageSizeOne) {
  Case c{DType::kF16, DType::kF8E5M2, DType::kF16};
  c.pages_count = 15, c.page_size = 1;
  for (const AttentionKernel* row : rows()) Appended(c, kSlots).expect_stored(row);
}

// Equal types are copied: NaN payloads, signalling ones too, subnormals and the sign of zero.
TEST(Append, TheSameTypeCopiesBits) {
  for (const AttentionKernel* row : rows())
    for (DType dtype : kFloats)
      for (Strides strides : {Strides::kContiguous, Strides::kLastStep2}) {
        Appended t({dtype, dtype, dtype, strides, strides}, kSlots);
        std::mt19937 random(9);
        for (Noise* from : {&t.k_new, &t.v_new})
          for (size_t n = 0; n < from->block->size(); ++n)
            from->block->data()[n] = static_cast<std::byte>(random() % 4 ? random() : 0xff);
        t.expect_stored(row);
      }
}

TEST(Append, NotANumberAndInfinity) {
  for (const AttentionKernel* row : rows()) {
    for (DType dtype : {DType::kF8E4M3, DType::kF8E5M2, DType::kI8}) {
      Appended t({DType::kF32, dtype, dtype}, {7});
      const double specials[] = {std::nan(""), -std::nan(""), INFINITY, -INFINITY,
                                 1e30,         -1e30,         0.0,      -0.0};
      for (int64_t d = 0; d < 8; ++d)
        store(DType::kF32, address_of(t.k_new.view, {0, 1, d}), specials[d]);
      run(row, t.args);
      const auto code = [&](int64_t d) {
        return static_cast<int>(*static_cast<uint8_t*>(address_of(t.k.view, {2, 1, 1, d})));
      };
      const CacheCodes codes(dtype);
      const int most = codes.finite().back().second, least = codes.finite().front().second;
      for (int64_t d : {0, 1}) {
        if (dtype == DType::kI8)
          EXPECT_EQ(code(d), 0);
        else
          EXPECT_TRUE(is_nan_code(dtype, code(d))) << code(d);
      }
      for (int64_t d : {2, 4}) EXPECT_EQ(code(d), most);
      for (int64_t d : {3, 5}) EXPECT_EQ(code(d), least);
      EXPECT_EQ(code(6), 0);
      EXPECT_EQ(code(7), dtype == DType::kI8 ? 0 : 0x80);
    }
  }
}

// A quotient near the middle of two codes: rounding it to f32 first would land on the middle.
TEST(Append, QuotientsAreRoundedOnce) {
  std::mt19937 random(17);
  std::uniform_real_distribution<float> scale(0.01f, 9.0f);
  for (const AttentionKernel* row : rows()) {
    for (DType dtype : {DType::kF8E4M3, DType::kF8E5M2, DType::kI8}) {
      const CacheCodes codes(dtype);
      for (int n = 0; n < 200; ++n) {
        Case c{DType::kF32, dtype, dtype};
        c.descale = 1;
        Appended t(c, kSlots);
        t.k_descale[0] = n % 7 == 0 ? -scale(random) : scale(random);
        for (int64_t i = 0; i < 8; ++i)
          for (int64_t h = 0; h < 2; ++h)
            for (int64_t d = 0; d < 8; ++d) {
              const size_t at = random() % (codes.finite().size() - 1);
              const double middle = (codes.finite()[at].first + codes.finite()[at + 1].first) / 2;
              auto x = static_cast<float>(middle * static_cast<double>(t.k_descale[0]));
              if (d % 3) x = std::nextafter(x, d % 3 == 1 ? INFINITY : -INFINITY);
              store(DType::kF32, address_of(t.k_new.view, {i, h, d}), x);
            }
        t.expect_stored(row);
      }
    }
  }
}

// MLA: v is the first elements of k, v_new of k_new; the row is stored once.
TEST(Append, ValuesThatAreKeysAreStoredWithThem) {
  for (const AttentionKernel* row : rows())
    for (DType cache : {DType::kF16, DType::kF8E4M3}) {
      Case c{DType::kF16, cache, cache};
      if (quantised(cache)) c.descale = 1;
      Appended t(c, kSlots);
      t.args.v = t.args.k, t.args.v.shape[3] = 4;
      t.args.v_new = t.args.k_new, t.args.v_new.shape[2] = 4;
      const auto want = t.wanted(t.k, t.args.k_new, t.k_descale);
      run(row, t.args);
      EXPECT_TRUE(t.k.bytes() == want);
    }
}

TEST(Append, NothingToStoreIsLegal) {
  for (const AttentionKernel* row : rows()) {
    Appended skipped({DType::kF32, DType::kF16, DType::kI8}, {-1, -1, INT64_MIN});
    skipped.expect_stored(row);
    Appended none({DType::kF32, DType::kF16, DType::kI8}, {});
    none.args.k_new.data = none.args.v_new.data = none.args.seq.slot_mapping.data = nullptr;
    const auto k = none.k.bytes();
    run(row, none.args);
    EXPECT_TRUE(none.k.bytes() == k);
  }
}

TEST(Append, ThreadsDoNotChangeBytes) {
  const int32_t before = num_threads();
  std::vector<int64_t> slots(240);
  for (size_t n = 0; n < slots.size(); ++n) slots[n] = static_cast<int64_t>(n * 77 % 240);
  for (const AttentionKernel* row : rows())
    for (int32_t threads : {1, 2, 7}) {
      set_num_threads(threads);
      Case c{DType::kBF16, DType::kF8E4M3, DType::kBF16};
      c.pages_count = 80, c.descale = 3;
      Appended(c, slots).expect_stored(row);
    }
  set_num_threads(before);
}

TEST(Append, DoorsAnswer) {
  Appended t({DType::kF32, DType::kF16, DType::kI8}, kSlots);
  const AppendKv append;
  const std::string best = append.supports(t.args, {}, Device{}).kernel;
  EXPECT_EQ(best.find("append/native/"), 0u) << best;
  EXPECT_EQ(append.explain(t.args, {}, Device{}).size(),
            Registry::global().attention_kernels(OpId::kAppend, DeviceType::kNative).size());
  EXPECT_EQ(append.forward(t.args, {}).kernel, best);
  EXPECT_EQ(append.forward_native(t.args, {}).kernel, best);
}

}  // namespace
}  // namespace attend::testing
