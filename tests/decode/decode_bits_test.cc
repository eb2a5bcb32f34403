// Decode has the bits of the same call by other operators on the same instruction set: of flash,
// where that takes the cache's element type, and of paged, which reads a contiguous cache as pages
// of its whole length.
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <vector>

#include "attend/error.h"
#include "tests/support/devices.h"
#include "tests/support/run_row.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

// Memory of the words that other operators have in place of start and end.
struct Words {
  std::vector<int64_t> keys, table, zeros;
};

// The range start <= j < end as a length, and before it a hole. False where the call has a hole.
bool range_as_length(CaseTensors& t, const AttentionArgs& args, Words& words) {
  AttentionArgs& a = t.args;
  if (args.seq.start && t.params.mask.hole_starts) return false;
  const int64_t batch = a.q.dim(0);
  if (args.seq.end) a.seq.seqused_k = args.seq.end;
  if (args.seq.start) {
    words.zeros.assign(static_cast<size_t>(batch), 0);
    t.params.mask.hole_starts = contiguous(words.zeros.data(), DType::kI64, {batch});
    t.params.mask.hole_ends = args.seq.start;
  }
  a.seq.start = a.seq.end = {};
  return true;
}

void as_pages(AttentionArgs& a, Words& words) {
  const int64_t batch = a.q.dim(0), keys = a.k.dim(1);
  words.table.resize(static_cast<size_t>(batch));
  std::iota(words.table.begin(), words.table.end(), 0);
  a.seq.block_table = contiguous(words.table.data(), DType::kI64, {batch, 1});
  words.keys.assign(static_cast<size_t>(batch), keys);
  if (!a.seq.seqused_k) a.seq.seqused_k = contiguous(words.keys.data(), DType::kI64, {batch});
  a.seq.max_seqlen_k = keys;  // what masks are wide
}

TEST(DecodeBits, AreThoseOfFlashAndOfPaged) {
  std::map<std::string, int> compared;
  for (const AttentionCase& c : cases(tier_from_environment())) {
    if (c.family != Family::kDecode) continue;
    SCOPED_TRACE(name(c));
    CaseTensors t = make_tensors(c);
    const AttentionArgs args = t.args;
    const AttentionParams params = t.params;
    Words words;
    if (!range_as_length(t, args, words)) continue;
    const AttentionParams ranged = t.params;
    AttentionArgs contiguous_keys = t.args, pages = t.args;
    if (c.seqlen_k > 0) as_pages(pages, words);
    const bool plain = c.k_dtype() == c.dtype && c.v_dtype() == c.dtype;
    for (const AttentionKernel& row : test_rows(OpId::kDecode)) {
      t.reset_outputs();
      try {
        run_row(row, args, params);
      } catch (const Error& e) {
        ASSERT_EQ(e.code(), ErrorCode::kUnsupported) << e.what();
        continue;
      }
      const std::vector<std::byte> decoded = t.output_bytes();
      const std::string isa = std::string(row.name).substr(std::string(row.name).find('/'));
      const auto same = [&](OpId op, const AttentionArgs& a) {
        t.reset_outputs();
        const std::string kernel = name(op) + isa;
        ASSERT_NO_THROW(on_device(row.device, a, ranged, {}, [&](const auto&... call) {
          return attention_op(op).run_kernel(kernel, call...);
        })) << kernel;
        EXPECT_TRUE(t.output_bytes() == decoded) << row.name << " and " << kernel;
        ++compared[kernel];
      };
      if (plain) same(OpId::kFlash, contiguous_keys);
      if (c.seqlen_k > 0) same(OpId::kPaged, pages);
    }
  }
  for (DeviceType device : test_devices()) {
    EXPECT_GE(compared[portable_row(OpId::kFlash, device)], 25);
    EXPECT_GE(compared[portable_row(OpId::kPaged, device)], 75);
  }
}

}  // namespace
}  // namespace attend::testing
