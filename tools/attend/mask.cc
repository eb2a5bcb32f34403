// attend mask: draws which keys each row may see, by the reading of the words that kernels use (ops/common/mask.h).
#include <algorithm>
#include <cstdio>

#include "attend/error.h"
#include "attend/operator.h"
#include "ops/common/layout.h"
#include "ops/splash/block_plan.h"
#include "tools/attend/call.h"
#include "tools/attend/command.h"
#include "tools/attend/formats/output_file.h"
#include "tools/attend/picture/mask_picture.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

constexpr int64_t kMostPairs = int64_t{1} << 30;

struct MaskFlags {
  CallFlags call;
  int64_t seqlen_q = 0, seqlen_k = 0, heads = 1, batch = 0, head = 0, tile_q = 0, tile_k = 0;
  std::string png, svg;
  bool quiet = false, plan = false;
};

int64_t batch_of(const Call& call) {
  if (call.args.seq.cu_seqlens_q) return call.args.seq.cu_seqlens_q.dim(0) - 1;
  Call copy = call;
  int64_t batch = 1;
  each_tensor(copy, [&](const auto& word, TensorView& view) {
    const Form form = form_of(word.name);
    const bool per_sequence = form == Form::kIndex || form == Form::kSegments ||
                              (form == Form::kBroadcast && view.rank == 4);
    if (view && per_sequence && view.rank > 0 && call.single.count(word.name) == 0)
      batch = std::max(batch, view.dim(0));
  });
  return batch;
}

int64_t last_of(const TensorView& cu) {
  if (cu.rank != 1 || cu.dim(0) < 1 || (cu.dtype != DType::kI32 && cu.dtype != DType::kI64))
    return 0;
  return std::max<int64_t>(index_at(cu, cu.dim(0) - 1), 0);
}

// Tensors of one element a row, so that the operator's own checks can speak.
void add_tensors(Call& call, const MaskFlags& flags) {
  const bool ragged = static_cast<bool>(call.args.seq.cu_seqlens_q);
  if (!ragged && (flags.seqlen_q <= 0 || flags.seqlen_k <= 0))
    throw Error(ErrorCode::kInvalidArgument,
                "--seqlen-q and --seqlen-k are " + std::to_string(flags.seqlen_q) + " and " +
                    std::to_string(flags.seqlen_k) +
                    ", expected 1 or more, or --cu-seqlens-q and --cu-seqlens-k");
  const int64_t batch = batch_of(call);
  spread_single(call, batch);
  const int64_t rows = ragged ? last_of(call.args.seq.cu_seqlens_q) : flags.seqlen_q;
  const int64_t keys = ragged ? last_of(call.args.seq.cu_seqlens_k) : flags.seqlen_k;
  if (rows > kMostPairs || keys > kMostPairs || rows * keys > kMostPairs)
    throw Error(ErrorCode::kInvalidArgument, "seqlen_q x seqlen_k is " + std::to_string(rows) +
                                                 " x " + std::to_string(keys) +
                                                 ", expected at most 2^30 pairs to draw");
  const auto values = [&](int64_t n, int64_t heads) {
    const auto shape =
        ragged ? std::vector<int64_t>{n, heads, 1} : std::vector<int64_t>{batch, n, heads, 1};
    Tensor t = Tensor::empty(DType::kF32, shape);
    std::fill_n(t.data<float>(), t.view().num_elements(), 0.0f);
    return call.own(std::move(t));
  };
  call.args.q = values(rows, flags.heads);
  call.args.k = values(keys, 1);
  call.args.v = values(keys, 1);
  call.args.out = values(rows, flags.heads);
}

std::string words_in_short(const CallFlags& flags) {
  std::vector<std::string> list;
  const auto add = [&](const std::string& word, const std::string& value) {
    list.push_back(
        printable(word + " " + (value.size() > 28 ? value.substr(0, 25) + "..." : value)));
  };
  for (const auto& word : words<AttentionArgs, AttentionParams>()) {
    if (const auto given = flags.scalars.find(word.name); given != flags.scalars.end()) {
      if (const auto* text = std::get_if<std::string>(&given->second)) list.push_back(*text);
      if (const auto* n = std::get_if<int64_t>(&given->second)) add(word.name, std::to_string(*n));
      if (std::holds_alternative<bool>(given->second)) list.emplace_back(word.name);
    }
    if (const auto given = flags.tensors.find(word.name); given != flags.tensors.end())
      add(word.name, given->second);
  }
  return list.empty() ? "no mask" : join(list);
}

// One sequence and one head, pair by pair.
class Visibility {
 public:
  Visibility(const Call& call, int64_t b, int64_t h)
      : b_(b),
        h_(h),
        s_(sequence(call.args, call.params, b)),
        keep_(call.params.mask.keep),
        blocks_(call.params.mask.block_mask),
        block_q_(call.params.mask.block_mask_q),
        block_k_(call.params.mask.block_mask_k) {
    const MaskSpec& m = call.params.mask;
    if (!m.q_segment_ids) return;
    q_ids_ = ids_of(m.q_segment_ids, b, s_.q_first);
    kv_ids_ = ids_of(m.kv_segment_ids, b, s_.k_first);
  }
  const Sequence& sequence_in_use() const { return s_; }
  bool operator()(int64_t i, int64_t j) const {
    if (!s_.mask.keeps(i, j)) return false;
    if (keep_ && *(keep_.at(b_, h_, i) + j * keep_.j) == std::byte{0}) return false;
    if (blocks_ && *(blocks_.at(b_, h_, i / block_q_) + j / block_k_ * blocks_.j) == std::byte{0})
      return false;
    if (!q_ids_) return true;
    const int64_t id = index_at(q_ids_, i);
    return id >= 0 && id == index_at(kv_ids_, j);
  }

 private:
  int64_t b_, h_;
  Sequence s_;
  BroadcastView keep_, blocks_;
  int64_t block_q_ = 0, block_k_ = 0;
  IndexVector q_ids_, kv_ids_;
};

MaskGrid grid_of(const Visibility& sees, int64_t tile_q, int64_t tile_k) {
  const Sequence& s = sees.sequence_in_use();
  MaskGrid g;
  g.rows = s.q_len;
  g.keys = s.k_len;
  g.tile_q = tile_q;
  g.tile_k = tile_k;
  g.cells_q = (g.rows + tile_q - 1) / tile_q;
  g.cells_k = (g.keys + tile_k - 1) / tile_k;
  std::vector<int64_t> count(static_cast<size_t>(g.cells_q * g.cells_k));
  for (int64_t i = 0; i < g.rows; ++i) {
    int64_t seen = 0;
    for (int64_t j = 0; j < g.keys; ++j) {
      if (!sees(i, j)) continue;
      ++seen;
      ++count[static_cast<size_t>(i / tile_q * g.cells_k + j / tile_k)];
    }
    g.visible += seen;
    g.empty.push_back(seen == 0);
    g.position.push_back(i + s.mask.d);
  }
  for (int64_t i = 0; i < g.cells_q; ++i)
    for (int64_t j = 0; j < g.cells_k; ++j) {
      const int64_t pairs =
          std::min(tile_q, g.rows - i * tile_q) * std::min(tile_k, g.keys - j * tile_k);
      g.share.push_back(static_cast<double>(count[static_cast<size_t>(i * g.cells_k + j)]) /
                        static_cast<double>(pairs));
    }
  return g;
}

// Splash's plan of one head and what it comes to.
struct Plan {
  TileGrid tiles;
  BlockPlan::Counts counts;
  std::string note;  // why splash would not use it

  double executed() const {
    const int64_t all = counts.executed() + counts.skip;
    return all == 0 ? 0 : static_cast<double>(counts.executed()) / static_cast<double>(all);
  }
  std::string text() const {
    return "plan of " + std::to_string(tiles.rows) + " x " + std::to_string(tiles.keys) +
           " tiles: " + std::to_string(counts.full) + " full, " + std::to_string(counts.partial) +
           " partial, " + std::to_string(counts.skip) + " skipped, " + number(100 * executed()) +
           " % executed" + (note.empty() ? "" : "; " + note);
  }
};

Plan plan_of(const Call& call, const MaskFlags& flags) {
  Plan plan;
  TileShape shape = plan_tile_shape(call.params);
  if (flags.tile_q > 0) shape.rows = static_cast<int32_t>(flags.tile_q);
  if (flags.tile_k > 0) shape.keys = static_cast<int32_t>(flags.tile_k);
  const BlockPlan all(call.args, call.params, shape);
  plan.tiles = {shape.rows, shape.keys, all.row_tiles(flags.batch), all.key_tiles(flags.batch), {}};
  for (int64_t i = 0; i < plan.tiles.row_tiles; ++i)
    for (int64_t j = 0; j < plan.tiles.key_tiles; ++j) {
      const TileKind kind = all.kind(flags.batch, flags.head, i, j);
      plan.tiles.kinds.push_back(kind);
      ++(kind == TileKind::kSkip   ? plan.counts.skip
         : kind == TileKind::kFull ? plan.counts.full
                                   : plan.counts.partial);
    }
  const Support support = attention_op(OpId::kSplash).supports(call.args, call.params, {});
  if (std::string_view(support.kernel).starts_with("vanilla"))
    plan.note = "splash gives this call to vanilla";
  return plan;
}

int64_t tile_for(int64_t n, int64_t most, int64_t wanted) {  // a power of two unless told
  if (wanted > 0) return wanted;
  int64_t tile = 1;
  while ((n + tile - 1) / tile > most) tile *= 2;
  return tile;
}

void draw(const MaskFlags& flags, const Shared& shared) {
  Call call;
  flags.call.set_scalars("mask", call.args, call.params);
  load_words(call, flags.call, nullptr, "");
  add_tensors(call, flags);
  const MaskSpec& m = call.params.mask;
  const bool splash = flags.plan || m.block_mask || m.block_mask_q != 0 || m.block_mask_k != 0;
  const OpId op = splash ? OpId::kSplash : OpId::kFlash;
  attention_op(op).explain(call.args, call.params, {});  // the operator's own checks
  call.params = resolved(op, call.params);
  const int64_t batch = call_shape(call.args).batch;
  const auto within = [](const char* flag, int64_t value, int64_t count) {
    if (value < 0 || value >= count)
      throw Error(ErrorCode::kOutOfRange, std::string(flag) + " is " + std::to_string(value) +
                                              ", expected 0 <= " + (flag + 2) + " < " +
                                              std::to_string(count));
  };
  within("--batch", flags.batch, batch);
  within("--head", flags.head, flags.heads);

  const Visibility sees(call, flags.batch, flags.head);
  const Sequence& s = sees.sequence_in_use();
  const std::optional<Plan> plan = flags.plan ? std::optional(plan_of(call, flags)) : std::nullopt;
  const auto grid = [&](int64_t most) {
    // A plan's tiles are drawn over cells of the mask's own.
    const int64_t cell_q = plan ? 0 : flags.tile_q, cell_k = plan ? 0 : flags.tile_k;
    MaskGrid g = grid_of(sees, tile_for(s.q_len, most, cell_q), tile_for(s.k_len, most, cell_k));
    const auto empty = std::count(g.empty.begin(), g.empty.end(), true);
    g.title =
        words_in_short(flags.call) + (batch > 1 ? ", batch " + std::to_string(flags.batch) : "");
    g.subtitle =
        std::to_string(g.rows) + " rows x " + std::to_string(g.keys) + " keys, row 0 at position " +
        std::to_string(s.mask.d) + ", " + std::to_string(g.visible) + " pairs visible (" +
        number(g.rows * g.keys == 0 ? 0
                                    : 100.0 * static_cast<double>(g.visible) /
                                          static_cast<double>(g.rows * g.keys)) +
        " %)" +
        (empty > 0
             ? ", " + std::to_string(empty) + (empty == 1 ? " row" : " rows") + " without a key"
             : "") +
        (g.tile_q * g.tile_k > 1
             ? ", a cell is " + std::to_string(g.tile_q) + " x " + std::to_string(g.tile_k)
             : "");
    if (plan) {
      g.plan = plan->tiles;
      g.subtitle += ", " + plan->text();
    }
    return g;
  };
  std::vector<std::string> written;
  const auto write = [&](const std::string& path, auto&& picture) {
    if (path.empty()) return;
    OutputFile file(path);
    file.write(picture(grid(512)));
    file.commit();
    written.push_back(path);
  };
  write(flags.svg, mask_svg);
  write(flags.png, mask_png);
  const MaskGrid g = grid(64);
  if (shared.json) {
    Json json = {{"words", words_in_short(flags.call)},
                 {"batch", flags.batch},
                 {"head", flags.head},
                 {"rows", g.rows},
                 {"keys", g.keys},
                 {"position_of_row_0", s.mask.d},
                 {"visible_pairs", g.visible},
                 {"rows_without_key", std::count(g.empty.begin(), g.empty.end(), true)},
                 {"tile", {g.tile_q, g.tile_k}},
                 {"cells", Json::array()},
                 {"written", written}};
    for (int64_t i = 0; i < g.cells_q; ++i) {
      std::string line;
      for (int64_t j = 0; j < g.cells_k; ++j)
        line += g.at(i, j) <= 0 ? '.' : g.at(i, j) >= 1 ? '1' : '+';
      json["cells"].push_back(line);
    }
    if (plan) {
      Json tiles = Json::array();
      for (int64_t i = 0; i < plan->tiles.row_tiles; ++i) {
        std::string line;
        for (int64_t j = 0; j < plan->tiles.key_tiles; ++j)
          line += plan->tiles.at(i, j) == TileKind::kSkip   ? '.'
                  : plan->tiles.at(i, j) == TileKind::kFull ? '1'
                                                            : '+';
        tiles.push_back(line);
      }
      json["plan"] = {{"tile", {plan->tiles.rows, plan->tiles.keys}},
                      {"full", plan->counts.full},
                      {"partial", plan->counts.partial},
                      {"skip", plan->counts.skip},
                      {"executed", plan->executed()},
                      {"note", plan->note},
                      {"tiles", tiles}};
    }
    return print_json(json);
  }
  if (!flags.quiet) std::fputs((plan ? plan_text(g) : mask_text(g)).c_str(), stdout);
  for (const std::string& path : written) std::printf("wrote %s\n", path.c_str());
}

}  // namespace

void add_mask(CLI::App& app, Shared& shared) {
  static MaskFlags flags;
  CLI::App* command =
      app.add_subcommand("mask", "draw which keys each row may see: as text, --svg or --png");
  command->add_option("--seqlen-q", flags.seqlen_q, "rows");
  command->add_option("--seqlen-k", flags.seqlen_k, "keys");
  command->add_option("--heads", flags.heads, "query heads, for --keep with a head dimension")
      ->check(CLI::Range(1, 65536));
  command->add_option("--batch", flags.batch,
                      "the sequence to draw, where words differ between sequences");
  command->add_option("--head", flags.head, "the head to draw");
  command->add_option("--tile-q", flags.tile_q, "rows of a cell; default: what fits")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--tile-k", flags.tile_k, "keys of a cell")->check(CLI::Range(1, 1 << 20));
  command->add_option("--svg", flags.svg, "write a picture");
  command->add_option("--png", flags.png, "write a picture");
  command->add_flag("--plan", flags.plan,
                    "draw splash's tiles over the mask: skipped, partial, full; their size is that "
                    "of --tile-q and --tile-k");
  command->add_flag("--quiet", flags.quiet, "no text");
  add_shared_flags(*command, shared, false);
  add_call_flags(*command, flags.call, FlagSet::kMask);
  command->callback([&shared] { draw(flags, shared); });
}

}  // namespace attend::cli
