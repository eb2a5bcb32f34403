#include "tests/reliability/honest_call.h"

#include <cmath>
#include <numeric>

namespace attend::testing {
namespace {

int64_t product(std::initializer_list<int64_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

HonestCall::HonestCall(OpId the_op, DType the_dtype, DType the_cache)
    : op(the_op), dtype(the_dtype), cache(the_cache), rows(the_op == OpId::kDecode ? 1 : 5) {
  const bool apart = paged() || decode();
  const DType keys = apart ? cache : dtype;
  const double factor = keys == DType::kI8 ? 30 : 1;
  const int64_t first = paged() ? kPages : kBatch, second = paged() ? kPageSize : kKeys;
  args.q = noise(dtype, {kBatch, rows, kHeads, kDim}, 1);
  args.k = noise(keys, {first, second, kKvHeads, kDim}, 2, factor);
  args.v = noise(keys, {first, second, kKvHeads, kVDim}, 3, factor);
  args.out = nothing(dtype, {kBatch, rows, kHeads, kVDim});
  args.lse = nothing(DType::kF32, {kBatch, kHeads, rows});
  if (keys == DType::kI8) params.softmax_scale = 0.01f;
  if (!paged()) return;
  args.seq.block_table = ints({2, 5}, {3, 7, 0, 9, 5, 1, 8, 2, 11, 4});
  args.seq.seqused_k = ints({9, 8});
}

TensorView HonestCall::noise(DType type, std::initializer_list<int64_t> shape, uint64_t seed,
                             double factor) {
  std::vector<double> values;
  for (int64_t n = 0; n < product(shape); ++n)
    values.push_back(factor * normal(hash(seed, static_cast<uint64_t>(n))));
  memory.emplace_back(type, shape, values);
  return memory.back();
}

TensorView HonestCall::ints(std::initializer_list<int64_t> shape,
                            const std::vector<double>& values) {
  memory.emplace_back(DType::kI32, shape, values);
  return memory.back();
}

TensorView HonestCall::bools(std::initializer_list<int64_t> shape, bool all) {
  std::vector<double> values;
  for (int64_t n = 0; n < product(shape); ++n)
    values.push_back(all || hash(9, static_cast<uint64_t>(n)) % 4 != 0);
  memory.emplace_back(DType::kBool, shape, values);
  return memory.back();
}

TensorView HonestCall::nothing(DType type, std::initializer_list<int64_t> shape) {
  memory.emplace_back(type, shape, Worked::nothing(product(shape)));
  return memory.back();
}

void HonestCall::csr() {
  args.seq.block_table = args.seq.seqused_k = {};
  args.seq.kv_indptr = ints({0, 3, 6});
  args.seq.kv_indices = ints({3, 7, 0, 9, 5, 1});
  args.seq.kv_last_page_len = ints({1, 1});
}

void HonestCall::own_rows() {
  args.seq.seqused_k = {};
  args.seq.context_lens = ints({3, 4});
  args.k_new = noise(dtype, {kBatch * rows, kKvHeads, kDim}, 4);
  args.v_new = noise(dtype, {kBatch * rows, kKvHeads, kVDim}, 5);
}

std::vector<std::byte> HonestCall::written() const {
  std::vector<std::byte> bytes;
  for (const TensorView* t :
       {&args.out, &args.lse, &args.weights, &args.scores, &args.k, &args.v}) {
    const auto* data = static_cast<const std::byte*>(t->data);
    if (*t) bytes.insert(bytes.end(), data, data + t->num_elements() * size_bytes(t->dtype));
  }
  return bytes;
}

AttentionParams HonestCall::as_read() const {
  AttentionParams p = params;
  if (p.init_bias.make && !p.bias && !p.mask.keep) p.bias = p.init_bias.make(p.init_bias.user);
  p.init_bias = {};
  if (op == OpId::kSdpa && p.mask.diagonal == Diagonal::kOperatorDefault)
    p.mask.diagonal = Diagonal::kTopLeft;
  if (op == OpId::kSdpa && p.mask_with_bias == MaskWithBias::kUnset)
    p.mask_with_bias = MaskWithBias::kBoth;
  return p;
}

}  // namespace attend::testing
