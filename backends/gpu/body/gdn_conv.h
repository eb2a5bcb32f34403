#pragma once
// gdn's causal depthwise convolution of mixed_qkv, and the past that it leaves to the next call.
//
//   conv     a block has kGdnChannels channels of kGdnConvTokens rows, a thread one of the channels;
//            what it makes is f32, row-major
//   past     a block has kGdnChannels channels of one sequence; launched when the convolution has
//            read the old past
//   traffic  a row is read once from memory, and taps - 1 times more, weights too, from cache
#include "backends/gpu/body/gdn_gates.h"
#include "backends/gpu/body/requests.h"

namespace attend::gpu {

// Where a row is, of all rows of a call: row i of a sequence.
struct GdnPlace {
  GdnSequence s;
  int64_t i = 0;
  bool live = false;  // false: it is nobody's, or not to be written

  ATTEND_DEVICE GdnPlace(const GdnCall& call, int64_t row) {
    const GdnShape& shape = call.shape;
    const int64_t b = shape.ragged ? request_of(call.args.cu_seqlens, shape.batch, call.skip, row)
                                   : row / shape.rows;
    live = b < shape.batch && !(call.skip && call.skip[b] != 0);
    if (!live) return;
    s = gdn_sequence(call.args, call.params, shape, b);
    i = shape.ragged ? row - s.first : row % shape.rows;
  }
  // To `row`, the one after this: most often of the same sequence.
  ATTEND_DEVICE void move_to_next(const GdnCall& call, int64_t row) {
    if (live && i + 1 < s.len)
      ++i;
    else
      *this = GdnPlace(call, row);
  }
};
ATTEND_DEVICE int64_t gdn_all_rows(const GdnShape& shape) {
  return shape.ragged ? shape.rows : shape.batch * shape.rows;
}

struct GdnConv {
  using Args = GdnCall;
  static constexpr int kThreads = kGdnConv.threads;

  static ATTEND_DEVICE void run(Thread& x, const GdnCall& call) {
    const int64_t channel = int64_t{x.block().y} * kGdnChannels + x.tid();
    if (channel >= call.shape.channels) return;
    const int64_t all = gdn_all_rows(call.shape), begin = int64_t{x.block().x} * kGdnConvTokens,
                  end = begin + kGdnConvTokens < all ? begin + kGdnConvTokens : all;
    auto* const made = reinterpret_cast<float*>(call.rows[GdnCall::kQ].data) + channel;
    GdnPlace place(call, begin);
    for (int64_t row = begin; row < end; ++row) {
      if (row > begin) place.move_to_next(call, row);
      if (place.live && !place.s.padding)
        made[row * call.shape.channels] = convolved(call, place, channel);
    }
  }

 private:
  static ATTEND_DEVICE float convolved(const GdnCall& call, const GdnPlace& place,
                                       int64_t channel) {
    const GdnArgs& a = call.args;
    const TensorView &weight = a.conv_weight, &past = a.conv_state;
    const RowsView mixed = token_rows(a.mixed_qkv, call.shape, place.s);
    const int64_t before = call.shape.taps - 1;  // rows of the past; zeros where there is none
    float y = a.conv_bias ? load_element(a.conv_bias, channel * a.conv_bias.stride[0]) : 0.0f;
    for (int64_t t = 0; t <= before; ++t) {
      const int64_t i = place.i + t - before;
      float input = 0.0f;
      if (i >= 0)
        input = load_activation(mixed.at(i, channel), mixed.dtype);
      else if (past)
        input = load_element(past, place.s.slot * past.stride[0] + channel * past.stride[1] +
                                       (before + i) * past.stride[2]);
      y += input * load_element(weight, channel * weight.stride[0] + t * weight.stride[1]);
    }
    return call.params.conv_silu ? y * gdn_sigmoid(y) : y;
  }
  static ATTEND_DEVICE float load_element(const TensorView& t, int64_t offset) {
    return load_activation(element(t, offset), t.dtype);
  }
};

// Input t of the next call's past is input t + len of this call's past and rows together; in this
// order what is still to be read has not been written yet.
struct GdnPast {
  using Args = GdnCall;
  static constexpr int kThreads = kGdnPast.threads;

  static ATTEND_DEVICE void run(Thread& x, const GdnCall& call) {
    const int64_t b = x.block().x, channel = int64_t{x.block().y} * kGdnChannels + x.tid();
    if (channel >= call.shape.channels || (call.skip && call.skip[b] != 0)) return;
    const GdnSequence s = gdn_sequence(call.args, call.params, call.shape, b);
    if (s.len == 0 || s.padding) return;
    const TensorView& past = call.args.conv_state;
    const RowsView mixed = token_rows(call.args.mixed_qkv, call.shape, s);
    const int64_t kept = call.shape.taps - 1,
                  row = s.slot * past.stride[0] + channel * past.stride[1];
    for (int64_t t = 0; t < kept; ++t) {
      const std::byte* const from = t + s.len < kept
                                        ? element(past, row + (t + s.len) * past.stride[2])
                                        : mixed.at(t + s.len - kept, channel);
      std::byte* const to = element(past, row + t * past.stride[2]);
      if (past.dtype == DType::kF32)
        *reinterpret_cast<uint32_t*>(to) = *reinterpret_cast<const uint32_t*>(from);
      else
        *reinterpret_cast<uint16_t*>(to) = *reinterpret_cast<const uint16_t*>(from);
    }
  }
};

}  // namespace attend::gpu
