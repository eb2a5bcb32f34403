#include "bench/support/rotation.h"

#include <algorithm>

#include "bench/support/machine.h"

namespace attend::bench {
namespace {

int64_t bytes(const TensorView& t) { return t.num_elements() * size_bytes(t.dtype); }

int64_t kv_bytes(const AttentionArgs& a) {
  return bytes(a.k) + (a.v.data == a.k.data ? 0 : bytes(a.v));
}

Tensor copy_of(const TensorView& view) {
  return Tensor::adopt(view, nullptr, [](void*) {}).to(view.device);
}

}  // namespace

int64_t copies_to_rotate(const AttentionArgs& args, const Work& work) {
  const int64_t kv = kv_bytes(args);
  if (work.flop >= 12 * work.bytes || kv <= int64_t{1} << 20) return 1;
  return std::max<int64_t>(2, (bytes_beyond_cache() + kv - 1) / kv);
}

Rotation::Rotation(const AttentionArgs& args, int64_t copies) : args_{args} {
  for (int64_t n = 1; n < copies; ++n) {
    AttentionArgs copy = args;
    copy.k = owned_.emplace_back(copy_of(args.k)).view();
    if (args.v.data != args.k.data) {
      copy.v = owned_.emplace_back(copy_of(args.v)).view();
    } else {  // v is the first elements of k's rows
      copy.v = copy.k;
      copy.v.shape = args.v.shape;
    }
    args_.push_back(copy);
  }
}

const AttentionArgs& Rotation::next() {
  at_ = (at_ + 1) % args_.size();
  return args_[at_];
}

}  // namespace attend::bench
