// gdn/native: the gated delta rule and the layer around it.
//
//   task      one sequence x one head, or a part of its value dims where there are fewer heads than
//             threads: its state is read once, carried over the sequence's runs of tokens, and
//             written once (gdn_state.cc)
//   run       a chunk of chunk_size tokens, which is cut into shorter ones if it is long, or up to
//             64 tokens step by step (gdn_rule.cc): rows of q, k, v are read (gdn_read.cc), the
//             rule runs panel by panel of value dims, rows of out are written (gdn_write.cc)
//   then      the convolution's new past, when every head has read the old one
//   memory    one GdnMemory a thread (gdn_call.h): the state of a head and the rows of a run
//   bits      runs are cut by a token's place in its sequence alone, and value dims never meet: no
//             result depends on the batch, the slots or the threads; a sequence that is cut at a
//             multiple of chunk_size and resumed from its states has the bits of one pass
//   cost      a single token (decode) reads and writes the state where it lies, once: 128 KiB a
//             head of 128 x 128 and nothing else that counts
//   inside    arithmetic is in isa/gdn-inl.h, once for every instruction set
#include "attend/registry.h"
#include "backends/native/cpu_features.h"
#include "backends/native/gdn_call.h"
#include "backends/native/kernels.h"
#include "backends/native/scratch.h"
#include "backends/native/thread_pool.h"
#include "ops/gdn/rows.h"

namespace attend::native {
namespace {

// A sequence without tokens: final_state gets the bits of state.
void hand_on(const GdnCall& c, const GdnSequence& s, int64_t head) {
  if (!c.a.final_state) return;
  const TensorView &from = c.a.state, &to = c.a.final_state;
  for (int64_t v = 0; v < c.shape.v_dim; ++v)
    for (int64_t k = 0; k < c.shape.k_dim; ++k) {
      float* const there = state_head(to, s.slot, head) + v * to.stride[2] + k * to.stride[3];
      if (from)
        std::copy_n(state_head(from, s.slot, head) + v * from.stride[2] + k * from.stride[3], 1,
                    there);
      else
        *there = 0.0f;
    }
}

// Tokens [first, len) in chunks, as far as they go; returns the first that is left for steps.
int64_t run_chunks(const GdnHead& h) {
  const GdnCall& c = h.c;
  const int64_t chunk = chunk_tokens(c.p.chunk_size);
  const auto next = [&](int64_t first) {
    return std::min({chunk, c.p.chunk_size - first % c.p.chunk_size, h.s.len - first});
  };
  const auto steps = [&](int64_t n) {
    return c.stepwise || n == 0 || n == 1 || (n < c.p.chunk_size && n <= kFewTokens);
  };
  int64_t first = 0, n = next(first);
  if (steps(n)) return 0;
  load_panels(h, first_state(h));
  for (; !steps(n); n = next(first)) {
    read_tokens(h, first, n);
    run_chunk(h, n);
    write_tokens(h, first, n);
    first += n;
  }
  return first;
}

void run_head(const GdnHead& h) {
  const GdnCall& c = h.c;
  read_head(h);
  int64_t first = run_chunks(h);
  const GdnRows end = last_state(h), own{h.m.state_rows, c.k_stride, 1};
  if (first == h.s.len) {
    if (end.base != nullptr) store_panels(h, end);
    return;
  }
  const GdnRows to = serves_steps(h, end, h.s.len - first) ? end : own;
  GdnRows from = first_state(h);
  if (first > 0) {
    store_panels(h, to);
    from = to;
  } else if (!serves_steps(h, from, h.s.len)) {
    copy_state(h, from, own);
    from = own;
  }
  while (first < h.s.len) {
    const int64_t n = std::min(c.tokens, h.s.len - first);
    read_tokens(h, first, n);
    run_steps(h, n, from, to);
    write_tokens(h, first, n);
    first += n;
    from = to;
  }
  if (end.base != nullptr && end.base != to.base) copy_state(h, to, end);
}

uint64_t bytes_per_worker(const GdnCall& c) { return GdnMemory{}.lay_out(nullptr, c); }

Status run_gdn(const GdnOps& ops, const GdnArgs& a, const GdnParams& p,
               const ExecContext& context) {
  const GdnCall call(ops, a, p, worker_count(context, INT32_MAX));
  const int64_t tasks = call.shape.batch * call.shape.heads * call.parts;
  if (tasks == 0) return {};
  const int32_t workers = worker_count(context, tasks);
  const Scratch scratch(context, bytes_per_worker(call), workers);
  if (!scratch) return {ErrorCode::kOutOfMemory, "scratch memory is not to be had", 0};
  parallel(context, workers, tasks, [&](int64_t task, int32_t worker) {
    const int64_t part = task % call.parts, head = task / call.parts % call.shape.heads;
    const GdnSequence s = gdn_sequence(a, p, call.shape, task / call.parts / call.shape.heads);
    if (s.padding || s.len == 0) {
      if (part > 0) return;
      return s.padding ? write_padding(call, s, head) : hand_on(call, s, head);
    }
    GdnMemory memory;
    memory.lay_out(scratch.of(worker), call);
    run_head({call, memory, s, head, part * call.v_panels / call.parts,
              (part + 1) * call.v_panels / call.parts});
  });
  if (a.conv_state && call.shape.taps > 1)
    parallel(context, std::min<int32_t>(workers, worker_count(context, call.shape.batch)),
             call.shape.batch, [&](int64_t b, int32_t) {
               write_conv_state(call, gdn_sequence(a, p, call.shape, b));
             });
  return {};
}

template <Isa isa, const GdnOps& ops>
struct GdnRow {
  static Status available(const Device&) { return native::available(isa); }
  static Status supports(const GdnArgs&, const GdnParams&, const Device&) {
    return native::available(isa);
  }
  static uint64_t workspace_bytes(const GdnArgs& a, const GdnParams& p, int32_t workers) {
    return Scratch::bytes(bytes_per_worker(GdnCall(ops, a, p, 1)), workers);
  }
  static Status run(const GdnArgs& a, const GdnParams& p, const ExecContext& context) {
    return run_gdn(ops, a, p, context);
  }
  static GdnKernel entry(const char* name, const char* summary, int32_t priority) {
    return {OpId::kGdn, DeviceType::kNative, name, summary, priority, available,
            supports,   workspace_bytes,     run};
  }
};

}  // namespace

void add_gdn(Registry& registry) {
  registry.add(GdnRow<Isa::kPortable, kGdnPortable>::entry(
      "gdn/native/portable",
      "f32 f16 bf16; dense, ragged; chunks and steps; the rule and the layer; any CPU", 0));
#if defined(__x86_64__)
  registry.add(GdnRow<Isa::kAvx2, kGdnAvx2>::entry(
      "gdn/native/avx2",
      "f32 f16 bf16; dense, ragged; chunks and steps; the rule and the layer; AVX2 with FMA", 10));
  registry.add(GdnRow<Isa::kAvx512, kGdnAvx512>::entry(
      "gdn/native/avx512",
      "f32 f16 bf16; dense, ragged; chunks and steps; the rule and the layer; AVX-512", 20));
#endif
}

}  // namespace attend::native
