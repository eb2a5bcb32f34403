#include "tests/support/cases.h"

namespace attend::testing {
namespace {

constexpr int64_t kPage = 16;

AttentionCase shaped(const char* label, int64_t batch, int64_t seqlen_q, int64_t seqlen_k) {
  AttentionCase c;
  c.label = label;
  c.batch = batch;
  c.seqlen_q = seqlen_q;
  c.seqlen_k = seqlen_k;
  c.heads = 32;
  c.kv_heads = 8;
  c.head_dim = 128;
  return c;
}

AttentionCase with_heads(AttentionCase c, int64_t heads, int64_t kv_heads, int64_t head_dim) {
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.head_dim = head_dim;
  return c;
}

AttentionCase causal(AttentionCase c) {
  c.causal = true;
  return c;
}

// 128 query heads on one latent row of 576, whose first 512 elements are the values.
AttentionCase mla(const char* label, int64_t batch, int64_t seqlen_k) {
  AttentionCase c = with_heads(shaped(label, batch, 1, seqlen_k), 128, 1, 576);
  c.v_dim = 512;
  c.v_in_k = true;
  return c;
}

AttentionCase decode(AttentionCase c) {
  c.family = Family::kDecode;
  return c;
}

AttentionCase paged(AttentionCase c) {
  c.family = Family::kPaged;
  c.page_size = kPage;
  c.full_lengths = true;
  return c;
}

// One row a request.
std::vector<AttentionCase> one_row() {
  return {shaped("decode1x4096", 1, 1, 4096), shaped("decode8x2048", 8, 1, 2048),
          shaped("decode32x1024", 32, 1, 1024), mla("mla4096", 1, 4096)};
}

std::vector<AttentionCase> plain_shapes() {
  std::vector<AttentionCase> list = {
      with_heads(shaped("tiny16", 1, 1, 16), 1, 1, 64),
      with_heads(shaped("tiny8h16", 1, 16, 16), 8, 8, 64),
      with_heads(shaped("encoder128", 4, 128, 128), 12, 12, 64),
      causal(shaped("prefill512", 1, 512, 512)),
      causal(shaped("prefill2k", 1, 2048, 2048)),
      causal(with_heads(shaped("prefill4k_mha64", 1, 4096, 4096), 16, 16, 64)),
      causal(shaped("chunk256_4k", 1, 256, 4096)),
      shaped("diffusion32_1k", 4, 32, 1024),
  };
  for (const AttentionCase& c : one_row()) list.push_back(c);
  AttentionCase window = causal(shaped("window2k", 1, 2048, 2048));
  window.window_left = 599;  // a quarter of all pairs
  list.push_back(window);
  return list;
}

std::vector<AttentionCase> splash_shapes() {
  AttentionCase tiny = with_heads(shaped("tiny8h64", 1, 64, 64), 8, 8, 64);
  AttentionCase blocks = shaped("blocks2k", 1, 2048, 2048);
  for (AttentionCase* c : {&tiny, &blocks}) {
    c->family = Family::kSplash;
    c->block_mask = Spread::kRowsKeys;
    c->block_mask_q = c->block_mask_k = c == &tiny ? 16 : 128;
    c->block_mask_quarters = c == &tiny ? 3 : 1;
  }
  return {tiny, blocks};
}

std::vector<AttentionCase> paged_shapes() {
  std::vector<AttentionCase> list = {
      paged(with_heads(shaped("tiny8h16", 1, 16, 16), 8, 8, 64)),
      paged(causal(shaped("prefill512", 1, 512, 512))),
      paged(causal(shaped("chunk256_4k", 1, 256, 4096))),
  };
  // Block diffusion: a block of rows sees itself whole and all before it, and is stored.
  AttentionCase block = paged(shaped("diffusion32_1k", 4, 32, 1024));
  block.own_rows = OwnRows::kStored;
  list.push_back(block);
  for (const AttentionCase& c : one_row()) list.push_back(paged(c));
  return list;
}

std::vector<AttentionCase> decode_shapes() {
  std::vector<AttentionCase> list = {decode(with_heads(shaped("tiny8h16", 1, 1, 16), 8, 8, 64))};
  for (const AttentionCase& c : one_row()) list.push_back(decode(c));
  return list;
}

// bf16 queries on caches of one byte an element.
void add_small_caches(std::vector<AttentionCase>& list) {
  for (AttentionCase c : one_row()) {
    if (c.label == "decode1x4096") continue;
    c.dtype = DType::kBF16;
    for (DType cache : {DType::kF8E4M3, DType::kI8}) {
      c.k_cache = cache;
      if (!c.v_in_k) c.v_cache = cache;
      c.descale = Descale::kHeads;
      list.push_back(decode(c));
      list.push_back(paged(c));
    }
  }
}

}  // namespace

std::vector<AttentionCase> bench_cases() {
  std::vector<AttentionCase> list;
  for (const auto& shapes : {plain_shapes(), splash_shapes(), paged_shapes(), decode_shapes()}) {
    for (AttentionCase c : shapes) {
      for (DType dtype : {DType::kF32, DType::kBF16}) {
        c.dtype = dtype;
        list.push_back(c);
      }
    }
  }
  add_small_caches(list);
  return list;
}

}  // namespace attend::testing
