#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "backends/native/isa/gdn_ops.h"
#include "ops/gdn/shape.h"

// One gdn call, the sizes of its runs of tokens, and the memory that one thread works in.
namespace attend::native {

// Tokens of the recurrence that are read together: nothing depends on it but the memory.
inline constexpr int64_t kStepRun = 64;
// A last part of a chunk with so few tokens goes step by step, which is no slower and gives a
// decode step, and a few of them at once, the same bits as the tokens one by one.
inline constexpr int64_t kFewTokens = 8;

// A longer chunk_size is cut into chunks of at most so many tokens, as equal as can be: a chunk's
// triangles cost as much a token as it has tokens.
inline constexpr int64_t kMostChunk = 32;

inline int64_t padded(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Tokens of a chunk of a call with this chunk_size.
inline int64_t chunk_tokens(int64_t chunk_size) {
  const int64_t parts = (chunk_size + kMostChunk - 1) / kMostChunk;
  return (chunk_size + parts - 1) / parts;
}

struct GdnCall {
  const GdnOps& ops;
  const GdnArgs& a;
  const GdnParams& p;
  GdnShape shape;
  bool per_channel;  // decay: such calls go step by step, as does chunk_size 1
  bool stepwise;
  int64_t tokens;  // of the longest run
  int64_t parts;   // of a head's value dims, which are tasks of their own
  int64_t panel, v_panels;
  int64_t k_stride, v_stride, a_stride;

  GdnCall(const GdnOps& o, const GdnArgs& args, const GdnParams& params, int32_t workers)
      : ops(o), a(args), p(params), shape(gdn_shape(args, params)), panel(o.panel) {
    const TensorView& decay = a.g ? a.g : a.alpha;
    per_channel = decay.rank == (shape.ragged ? 3 : 4);
    stepwise = per_channel || p.chunk_size == 1;
    int64_t longest = 0;
    for (int64_t b = 0; b < shape.batch; ++b)
      longest = std::max(longest, gdn_sequence(a, p, shape, b).len);
    tokens = std::min<int64_t>(longest, stepwise ? kStepRun : chunk_tokens(p.chunk_size));
    const int64_t unit = std::max<int64_t>(panel, 16);  // what the ops' loops read and write
    v_panels = padded(shape.v_dim, panel) / panel;
    k_stride = padded(shape.k_dim, 16);
    v_stride = padded(shape.v_dim, unit);
    a_stride = padded(tokens, unit);
    // Parts read q and k again and make the same triangles, so there are no more than threads need;
    // the norm wants the whole row.
    const int64_t heads = std::max<int64_t>(1, shape.batch * shape.heads);
    parts = a.z ? 1 : std::clamp<int64_t>(workers / heads, 1, std::max<int64_t>(1, v_panels));
  }
};

// What one thread works in: rows of a run, panels of value dims, and the state of one head.
struct GdnMemory {
  float* state;            // [v_panels][k_dim][panel], of chunks
  float* state_rows;       // [v_dim][k_stride], of steps where the tensor's rows will not do
  float *k, *q;            // [tokens][k_stride]: normalised, q times the scale
  float *left_k, *left_q;  // [tokens][k_stride]: what the state is multiplied by; growth in steps
  float* kt;               // k as panels of tokens
  float *a, *p;            // [tokens][a_stride]: triangles of the chunk
  float *v, *out;          // [v_panels][tokens][panel]
  float *beta, *exponent, *growth;
  double* g;              // natural log of each token's decay, then their sums
  float *raw, *weight;    // rows before the convolution; its taps, each a row of channels, and bias
  float *row, *z, *norm;  // of v_dim
  float** rows;

  // Lays the parts out from `base` on; returns the bytes they take.
  uint64_t lay_out(std::byte* base, const GdnCall& c) {
    uint64_t at = 0;
    const auto part = [&](auto*& pointer, int64_t count) {
      using T = std::remove_reference_t<decltype(*pointer)>;
      pointer = base == nullptr ? nullptr : reinterpret_cast<T*>(base + at);
      at += static_cast<uint64_t>(padded(count * static_cast<int64_t>(sizeof(T)), 64));
    };
    const GdnShape& s = c.shape;
    const int64_t chunk = c.stepwise ? 0 : c.tokens;
    part(state, c.stepwise ? 0 : c.v_panels * s.k_dim * c.panel);
    part(state_rows, s.v_dim * c.k_stride);
    for (float** rows_of_k : {&k, &q, &left_k, &left_q}) part(*rows_of_k, c.tokens * c.k_stride);
    part(kt, padded(chunk, c.panel) * s.k_dim);
    part(a, chunk * c.a_stride);
    part(p, chunk * c.a_stride);
    part(v, c.v_panels * c.tokens * c.panel);
    part(out, c.v_panels * c.tokens * c.panel);
    part(beta, c.tokens);
    part(exponent, c.a_stride);
    part(growth, s.k_dim);
    part(g, c.tokens);
    const int64_t widest = std::max(c.k_stride, c.v_stride);
    part(raw, s.taps == 0 ? 0 : (c.tokens + s.taps - 1) * widest);
    part(weight, s.taps == 0 ? 0 : (s.taps + 1) * (2 * c.k_stride + c.v_stride));
    part(row, widest);
    part(z, c.v_stride);
    part(norm, c.v_stride);
    part(rows, std::max(c.tokens, s.v_dim));
    return at;
  }
};

// One head of one sequence, or some panels of its value dims.
struct GdnHead {
  const GdnCall& c;
  GdnMemory& m;
  GdnSequence s;
  int64_t head;
  int64_t first_panel, last_panel;

  int64_t first_v() const { return first_panel * c.panel; }
  int64_t v_dims() const { return std::min(last_panel * c.panel, c.shape.v_dim) - first_v(); }
};

// Value rows of a state.
struct GdnRows {
  float* base = nullptr;
  int64_t row = 0, step = 0;
};

// gdn_read.cc: what a head needs once, and tokens [first, first + n) into memory.
void read_head(const GdnHead& h);
void read_tokens(const GdnHead& h, int64_t first, int64_t n);
// gdn_state.cc: the state of a head between its tensors and the memory of chunks and of steps.
GdnRows first_state(const GdnHead& h);  // before the call; base is null where it is zeros
GdnRows last_state(const GdnHead& h);   // after it; base is null where nobody wants it
void load_panels(const GdnHead& h, const GdnRows& from);
void store_panels(const GdnHead& h, const GdnRows& to);
// Whether so many steps are to work on these rows.
bool serves_steps(const GdnHead& h, const GdnRows& rows, int64_t tokens);
void copy_state(const GdnHead& h, const GdnRows& from, const GdnRows& to);
// gdn_rule.cc: a run of tokens.
void run_steps(const GdnHead& h, int64_t n, const GdnRows& from, const GdnRows& to);
void run_chunk(const GdnHead& h, int64_t n);
// gdn_write.cc: tokens out of memory, through the gated norm; the rows that padding has; what the
// convolution of later calls needs.
void write_tokens(const GdnHead& h, int64_t first, int64_t n);
void write_padding(const GdnCall& c, const GdnSequence& s, int64_t head);
void write_conv_state(const GdnCall& c, const GdnSequence& s);

}  // namespace attend::native
