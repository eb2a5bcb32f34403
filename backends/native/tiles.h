#pragma once
#include <cstdint>
#include <string>

#include "attend/registry.h"
#include "backends/native/cpu_features.h"
#include "backends/native/isa/tile_ops.h"
#include "ops/common/philox.h"
#include "ops/splash/block_plan.h"

// Exact attention, tile by tile: what flash, paged, decode, splash, sdpa and ring have in common on
// native. tiles.cc opens with the plan.
namespace attend::native {

// What an operator wants of its tiles beyond the words of the call.
struct TileUse {
  const BlockPlan* plan = nullptr;  // splash: which tiles to execute
  // ring: dropout, drawn at original positions
  const Dropout* dropout = nullptr;
  int64_t first_row = 0, first_key = 0;  // original positions of row 0 and key 0
  int64_t first_head = 0;  // of all heads of all sequences, what head 0 of sequence 0 is
  // paged: what is done first, once nothing can fail any more
  void (*before)(const AttentionArgs&, const ExecContext&) = nullptr;
};

// Arguments have passed the operator's checks and tiles_take().
Status run_tiles(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                 const ExecContext& context, const TileUse& use = {});

// Scratch that run_tiles wants.
uint64_t tiles_workspace_bytes(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                               int32_t workers);

// Whether an instruction set's words hold these element types.
Status tiles_take(const TileOps& ops, const AttentionArgs& a);

// The instruction set that forward() would choose for a call on this machine.
const TileOps& best_tile_ops(const AttentionArgs& a);

// How an operator runs on one instruction set.
using RunTiles = Status (*)(const TileOps&, const AttentionArgs&, const AttentionParams&,
                            const ExecContext&);
// With nothing beyond the words of the call.
Status run_plain_tiles(const TileOps&, const AttentionArgs&, const AttentionParams&,
                       const ExecContext&);

// What scratch an operator wants beside, or in place of, that of its tiles.
using TilesWorkspace = uint64_t (*)(const TileOps&, const AttentionArgs&, const AttentionParams&,
                                    int32_t workers);

// A string that lives as long as the registry.
const char* kept(std::string text);

template <RunTiles run_op, TilesWorkspace bytes, Isa isa, const TileOps& ops>
AttentionKernel tile_row(OpId op, const char* serves, int32_t priority, const char* needs) {
  AttentionKernel row{};
  row.op = op;
  row.device = DeviceType::kNative;
  row.name = kept(std::string(name(op)) + "/native/" + name(isa));
  row.summary = kept(std::string(serves) + "; " + needs);
  row.priority = priority;
  row.available = [](const Device&) { return available(isa); };
  row.supports = [](const AttentionArgs& a, const AttentionParams&, const Device&) {
    if (const Status s = available(isa); !s) return s;
    return tiles_take(ops, a);
  };
  row.workspace_bytes = [](const AttentionArgs& a, const AttentionParams& p, int32_t workers) {
    return bytes(ops, a, p, workers);
  };
  row.run = [](const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
    return run_op(ops, a, p, context);
  };
  return row;
}

// A row for every instruction set. serves: what the operator takes, in the words of a summary.
template <RunTiles run_op, TilesWorkspace bytes = tiles_workspace_bytes>
void add_tile_rows(Registry& registry, OpId op, const char* serves) {
  registry.add(tile_row<run_op, bytes, Isa::kPortable, kPortableOps>(op, serves, 0, "any CPU"));
#if defined(__x86_64__)
  registry.add(tile_row<run_op, bytes, Isa::kAvx2, kAvx2Ops>(op, serves, 10, "AVX2 with FMA"));
  registry.add(tile_row<run_op, bytes, Isa::kAvx512, kAvx512Ops>(op, serves, 20, "AVX-512"));
  registry.add(tile_row<run_op, bytes, Isa::kAvx512Bf16, kAvx512Bf16Ops>(
      op, serves, bf16_dot_products_pay() ? 30 : 15, "bf16 alone, by AVX-512 BF16 dot products"));
  registry.add(tile_row<run_op, bytes, Isa::kAmxBf16, kAmxBf16Ops>(op, serves, 40,
                                                                   "bf16 alone, by AMX tiles"));
#endif
}

}  // namespace attend::native
