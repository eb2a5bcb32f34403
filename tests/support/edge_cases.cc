#include "tests/support/cases.h"

namespace attend::testing {
namespace {

AttentionCase sized(int64_t seqlen_q, int64_t seqlen_k, int64_t head_dim) {
  AttentionCase c;
  c.seqlen_q = seqlen_q;
  c.seqlen_k = seqlen_k;
  c.head_dim = head_dim;
  c.lse = true;
  return c;
}

constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

// Rows and keys one below, on and one above the tile sizes that kernels use.
void add_tile_edges(std::vector<AttentionCase>& list, bool full) {
  std::vector<int64_t> edges;
  for (int64_t tile : {16, 32, 48, 64, 128, 256, 512})
    edges.insert(edges.end(), {tile - 1, tile, tile + 1});
  for (size_t n = 0; n < edges.size(); ++n) {
    for (size_t m = 0; m < edges.size(); ++m) {
      if (!full && m != (n * 8 + 5) % edges.size())
        continue;  // a permutation: every row size occurs once
      AttentionCase c = sized(edges[m], edges[n], 32);
      c.dtype = kDTypes[(n + m) % 3];
      c.causal = (n + m / 2) % 2 == 0;
      if (c.causal && m % 4 == 1) c.diagonal = Diagonal::kTopLeft;
      list.push_back(c);
    }
  }
}

void add_head_dims(std::vector<AttentionCase>& list) {
  for (int64_t dim : {1, 3, 31, 32, 64, 80, 96, 128, 192, 256, 512, 576}) {
    for (DType dtype : kDTypes) {
      AttentionCase c = sized(17, 65, dim);
      c.dtype = dtype;
      c.heads = 2;
      c.causal = true;
      if (dim == 576) c.v_dim = 512, c.v_in_k = true, c.kv_heads = 1;
      list.push_back(c);
      c.v_dim = dim == 576 ? 512 : dim == 512 ? 257 : 256;
      c.v_in_k = false;
      c.strides = Strides::kOddBase;
      list.push_back(c);
    }
  }
}

// Nothing there, and words that meet in threes.
void add_corners(std::vector<AttentionCase>& list) {
  for (Layout layout : {Layout::kDense, Layout::kRagged}) {
    for (bool sinks : {false, true}) {
      AttentionCase c = sized(5, 0, 16);
      c.layout = layout;
      c.batch = 2;
      c.sinks = sinks ? PerHead::k1D : PerHead::kNone;
      list.push_back(c);  // rows without keys
      c.seqlen_q = 0;
      c.seqlen_k = 7;
      list.push_back(c);
      c.seqlen_k = 0;
      list.push_back(c);
      c.batch = 0;
      c.seqlen_q = 3;
      c.seqlen_k = 4;
      list.push_back(c);
    }
  }
  for (Spread keep : {Spread::kKeys, Spread::kRowsKeys, Spread::kHeadsRowsKeys, Spread::kFull,
                      Spread::kBatchKeys}) {
    for (Spread bias :
         {Spread::kKeys, Spread::kRowsKeys, Spread::kHeadsRowsKeys, Spread::kFull, Spread::kRows}) {
      AttentionCase c = sized(19, 37, 24);
      c.batch = c.heads = 2;
      c.keep = keep;
      c.bias = bias;
      c.mask_with_bias = MaskWithBias::kBoth;
      c.layout = (keep == bias) ? Layout::kRagged : Layout::kDense;
      list.push_back(c);
    }
  }
  for (int32_t block :
       {1, 2, 16, 32}) {  // block diffusion: origin, prefix, hole and start of the rows together
    AttentionCase c = sized(32, 96, 64);
    c.batch = 3;
    c.block_size = block;
    c.block_origin = c.prefix = c.hole = c.q_start = true;
    list.push_back(c);
    c.window_left = 20;
    c.window_right = 5;
    c.layout = Layout::kRagged;
    list.push_back(c);
  }
  for (bool top_left : {false, true}) {
    AttentionCase c = sized(40, 23, 64);  // rows without any key above the diagonal
    c.causal = true;
    c.diagonal = top_left ? Diagonal::kTopLeft : Diagonal::kBottomRight;
    list.push_back(c);
    c.sinks = PerHead::k2D;
    list.push_back(c);
    c.window_left = 0;
    list.push_back(c);
  }
}

AttentionCase cached(Family family, int64_t seqlen_q, int64_t seqlen_k, int64_t head_dim) {
  AttentionCase c = blank(family);
  c.seqlen_q = family == Family::kDecode ? 1 : seqlen_q;
  c.seqlen_k = seqlen_k;
  c.head_dim = head_dim;
  c.lse = true;
  c.causal = true;
  return c;
}

// Caches: every dimension, keys on the edges of tiles, pages and splits, nothing there.
void add_caches(std::vector<AttentionCase>& list) {
  size_t n = 0;
  for (Family family : {Family::kPaged, Family::kDecode}) {
    for (int64_t dim : {1, 31, 64, 80, 96, 128, 192, 256, 257, 512, 576}) {
      AttentionCase c = cached(family, 5, 37, dim);
      c.dtype = kDTypes[n++ % 3];
      c.heads = 4, c.kv_heads = dim == 576 ? 1 : 2;
      if (dim == 576) c.v_dim = 512, c.v_in_k = true;
      if (dim == 576 && family == Family::kPaged) c.own_rows = OwnRows::kStored;
      list.push_back(c);
      c.k_cache = c.v_cache = n % 2 ? DType::kF8E4M3 : DType::kBF16;
      c.own_rows = OwnRows::kNone;
      list.push_back(c);
    }
    for (int64_t keys : {15,  16,  17,  31,  32,  33,  63,   64,   65,   127,  128,  129,
                         255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049}) {
      AttentionCase c = cached(family, keys % 3 + 1, keys, 32);
      c.dtype = kDTypes[n++ % 3];
      c.heads = keys < 1000 ? 2 : 8;
      c.page_size = family == Family::kPaged ? 32 : 0;
      if (keys % 2) c.sinks = PerHead::k1D;
      list.push_back(c);
    }
    for (Layout layout : {Layout::kDense, Layout::kRagged}) {
      if (layout == Layout::kRagged && family == Family::kDecode) continue;
      for (PageTable table : {PageTable::kBlockTable, PageTable::kCsr}) {
        AttentionCase c = cached(family, 3, 0, 16);
        c.layout = layout;
        if (family == Family::kPaged) c.table = table;
        list.push_back(c);  // rows without keys
        c.sinks = PerHead::k2D;
        list.push_back(c);
        c.batch = 0;
        list.push_back(c);
        if (family == Family::kDecode) break;
        c.batch = 2;
        c.own_rows = OwnRows::kStored;
        list.push_back(c);  // rows that see themselves alone
        c.seqlen_q = 0;
        c.seqlen_k = 9;
        list.push_back(c);
      }
    }
  }
}

// Rows that are few and yet more than those that read keys in place: keys are cut where the second
// part has many, and where it has one.
void add_cut_keys(std::vector<AttentionCase>& list) {
  for (Family family : {Family::kPlain, Family::kPaged, Family::kDecode})
    for (DType dtype : kDTypes)
      for (int64_t keys : {2049, 3000}) {
        AttentionCase c = cached(family, 2, keys, 24);
        c.dtype = dtype;
        c.heads = 36, c.kv_heads = 1;
        c.lse = keys == 2049;
        list.push_back(c);
      }
}

// Every narrow type of cache under every type of q, for few rows and for many, which have kernels of
// their own, with nothing that a tuned row refuses.
void add_cache_types(std::vector<AttentionCase>& list) {
  constexpr DType kCaches[] = {DType::kF8E4M3, DType::kF8E5M2, DType::kI8};
  for (Family family : {Family::kPaged, Family::kDecode})
    for (int64_t rows : {2, 40})
      for (size_t n = 0; n < std::size(kCaches); ++n)
        for (DType dtype : kDTypes) {
          if (family == Family::kDecode && rows > 2) continue;
          AttentionCase c = cached(family, rows, 70, 64);
          c.dtype = dtype;
          c.heads = 2;
          c.k_cache = kCaches[n], c.v_cache = kCaches[(n + (rows == 2 ? 1 : 0)) % 3];
          c.descale = Descale::kBatchHeads;
          list.push_back(c);
        }
}

// Blocks that are tiles of splash's plan, smaller and larger than those of its kernels.
void add_block_masks(std::vector<AttentionCase>& list) {
  for (int32_t q : {32, 64, 128})
    for (int32_t k : {32, 64, 128}) {
      AttentionCase c = sized(150, 200, 64);
      c.family = Family::kSplash;
      c.dtype = q == k ? DType::kF16 : DType::kBF16;
      c.heads = 2;
      c.block_mask = k == 128 ? Spread::kHeadsRowsKeys : Spread::kRowsKeys;
      c.block_mask_q = q, c.block_mask_k = k;
      c.causal = q == 32;
      list.push_back(c);
    }
}

// What frameworks ask of sdpa, and so what a vendor's library takes: few words, no lse.
void add_framework_calls(std::vector<AttentionCase>& list) {
  struct Shape {
    int64_t seqlen_q, seqlen_k, heads, kv_heads, head_dim;
  };
  constexpr Shape kShapes[] = {
      {1, 33, 4, 4, 64}, {32, 32, 4, 4, 32}, {64, 48, 8, 2, 64}, {130, 257, 2, 1, 96}};
  for (const Shape& s : kShapes) {
    for (int words = 0; words < 6; ++words) {
      AttentionCase c;
      c.batch = 2;
      c.seqlen_q = s.seqlen_q, c.seqlen_k = s.seqlen_k, c.head_dim = s.head_dim;
      c.heads = s.heads, c.kv_heads = s.kv_heads;
      c.mask_with_bias = MaskWithBias::kBoth;
      c.scale = words % 2 ? Scale::kGiven : Scale::kDefault;
      c.causal = words == 1 || words == 4;
      if (words == 2 || words == 4) c.keep = Spread::kRowsKeys;
      if (words == 3 || words == 5) c.bias = Spread::kFull;
      if (words == 5) c.keep = Spread::kBatchKeys, c.strides = Strides::kHeadsFirst;
      for (DType dtype : kDTypes) {
        c.dtype = c.bias_dtype = dtype;
        list.push_back(c);
      }
    }
  }
}

}  // namespace

std::vector<AttentionCase> edge_cases(bool full) {
  std::vector<AttentionCase> list;
  add_tile_edges(list, full);
  add_head_dims(list);
  add_corners(list);
  add_caches(list);
  add_cut_keys(list);
  add_cache_types(list);
  add_block_masks(list);
  add_framework_calls(list);
  if (full) list.push_back(sized(3, 16500, 64));
  return list;
}

}  // namespace attend::testing
