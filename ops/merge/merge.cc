#include <string>

#include "attend/operator.h"
#include "ops/check/checker.h"
#include "ops/merge/tensors.h"

namespace attend {
namespace {

void check_merge_shapes(const MergeArgs& m) {
  const Checker c("merge");
  c.given("out_a", m.out_a, "a tensor");
  c.given("lse_a", m.lse_a, "a tensor");
  c.given("out_b", m.out_b, "a tensor");
  c.given("lse_b", m.lse_b, "a tensor");
  c.given("out", m.out, "a tensor");
  if (m.out_a.rank != 3)
    c.rank("out_a", m.out_a, 4, "[batch, seqlen_q, heads, dim], or 3 [total_q, heads, dim]");
  const bool ragged = m.out_a.rank == 3;
  const auto like_out_a = [&](const char* arg, const TensorView& t) {
    static constexpr const char* kNames[] = {"batch of out_a", "seqlen_q of out_a",
                                             "heads of out_a", "dim of out_a"};
    c.dtype(arg, t, {DType::kF32, DType::kF16, DType::kBF16});
    c.rank(
        arg, t, m.out_a.rank,
        ragged ? "[total_q, heads, dim], like out_a" : "[batch, seqlen_q, heads, dim], like out_a");
    for (int i = 0; i < t.rank; ++i)
      c.dim(arg, t, i, m.out_a.dim(i), ragged && i == 0 ? "total_q of out_a" : kNames[i + ragged]);
  };
  like_out_a("out_a", m.out_a);
  like_out_a("out_b", m.out_b);
  like_out_a("out", m.out);
  const auto lse = [&](const char* arg, const TensorView& t) {
    if (!t) return;
    c.dtype(arg, t, {DType::kF32});
    c.rank(arg, t, ragged ? 2 : 3, ragged ? "[heads, total_q]" : "[batch, heads, seqlen_q]");
    if (!ragged) c.dim(arg, t, 0, m.out_a.dim(0), "batch of out_a");
    c.dim(arg, t, -2, m.out_a.dim(-2), "heads of out_a");
    c.dim(arg, t, -1, m.out_a.dim(-3), ragged ? "total_q of out_a" : "seqlen_q of out_a");
  };
  lse("lse_a", m.lse_a);
  lse("lse_b", m.lse_b);
  lse("lse", m.lse);
}

}  // namespace

MergeParams MergePartials::checked(const MergeArgs& m, const MergeParams& p, Device device) const {
  GivenTensors given;
  for_each_tensor(m, p, given);
  check_tensors("merge", device, given);
  check_merge_shapes(m);
  // In place: an input that is exactly the output is read, element by element, before it is written.
  GivenTensors apart;
  for_each_tensor(m, p, [&](const char* arg, const TensorView& t, Role role) {
    const bool in_place = ((&t == &m.out_a || &t == &m.out_b) && same_view(t, m.out)) ||
                          ((&t == &m.lse_a || &t == &m.lse_b) && same_view(t, m.lse));
    if (!in_place) apart(arg, t, role);
  });
  check_overlap("merge", apart);
  return p;
}

}  // namespace attend
