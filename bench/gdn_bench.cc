// gdn on native: every row x prefill and decode x chunk sizes, beside the token recurrence as its
// five lines stand in gdn_params.h. A call is compared with that recurrence in float64 before it is
// timed; one that is wrong fails in place of printing a time.
//   gdn/native/avx512/prefill4096_h1x1_d128_f32/chunk64/threads:1
//   recurrence/...    the five lines in f32 on one thread, compiled as the rest of the program
// FLOP/s count 6 k_dim v_dim a token and head: three products with the state.
#include <benchmark/benchmark.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"
#include "bench/support/bench_main.h"
#include "bench/support/samples.h"
#include "tests/support/element.h"
#include "tests/support/noise.h"

namespace attend::bench {
namespace {

struct GdnCase {
  const char* label;
  int64_t batch, seqlen, k_heads, v_heads, dim;
  DType dtype;
  std::string name() const {
    return std::string(label) + "_b" + std::to_string(batch) + "_h" + std::to_string(k_heads) +
           "x" + std::to_string(v_heads) + "_d" + std::to_string(dim) + "_" + attend::name(dtype);
  }
};

constexpr GdnCase kCases[] = {{"prefill4096", 1, 4096, 1, 1, 128, DType::kF32},
                              {"prefill4096", 1, 4096, 1, 1, 128, DType::kBF16},
                              {"prefill1024", 1, 1024, 4, 8, 128, DType::kBF16},
                              {"decode", 8, 1, 4, 8, 128, DType::kBF16}};

// The tensors of a case; values are rounded to the case's type, and known in f32 and f64.
struct Call {
  GdnCase c;
  std::vector<std::byte> q, k, v, out;
  std::vector<float> qf, kf, vf, g, beta, state, start;
  GdnArgs args;
  GdnParams params;

  explicit Call(const GdnCase& the_case) : c(the_case) {
    const auto fill = [&](const char* what, std::vector<std::byte>& to, std::vector<float>& copy,
                          int64_t heads, double spread) {
      const int64_t n = c.batch * c.seqlen * heads * c.dim, size = size_bytes(c.dtype);
      to.resize(static_cast<size_t>(n * size));
      for (int64_t i = 0; i < n; ++i) {
        testing::store(c.dtype, to.data() + i * size,
                       spread * testing::normal(testing::hash(testing::hash_of(what, 1),
                                                              static_cast<uint64_t>(i))));
        copy.push_back(static_cast<float>(testing::load(c.dtype, to.data() + i * size)));
      }
    };
    const double unit = 1 / std::sqrt(static_cast<double>(c.dim));
    fill("q", q, qf, c.k_heads, 1);
    fill("k", k, kf, c.k_heads, 0.9 * unit);
    fill("v", v, vf, c.v_heads, 1);
    out.resize(v.size());
    const int64_t rows = c.batch * c.seqlen, gates = rows * c.v_heads;
    for (int64_t i = 0; i < gates; ++i) {
      const double u =
          static_cast<double>(testing::hash(3, static_cast<uint64_t>(i)) >> 11) * 0x1p-53;
      g.push_back(static_cast<float>(-0.05 * u));
      beta.push_back(static_cast<float>(0.2 + 0.8 * u));
    }
    for (int64_t i = 0; i < c.batch * c.v_heads * c.dim * c.dim; ++i)
      start.push_back(0.1f * testing::normal(testing::hash(5, static_cast<uint64_t>(i))));
    state = start;
    const auto tokens = [&](std::vector<std::byte>& x, int64_t heads) {
      return contiguous(x.data(), c.dtype, {c.batch, c.seqlen, heads, c.dim});
    };
    args.q = tokens(q, c.k_heads);
    args.k = tokens(k, c.k_heads);
    args.v = tokens(v, c.v_heads);
    args.out = tokens(out, c.v_heads);
    args.g = contiguous(g.data(), DType::kF32, {c.batch, c.seqlen, c.v_heads});
    args.beta = contiguous(beta.data(), DType::kF32, {c.batch, c.seqlen, c.v_heads});
    args.state = contiguous(state.data(), DType::kF32, {c.batch, c.v_heads, c.dim, c.dim});
  }

  double flop() const {
    return 6.0 * static_cast<double>(c.batch * c.seqlen * c.v_heads * c.dim * c.dim);
  }
};

// The recurrence over a whole call, in T.
template <class T>
void recurrence(const Call& call, std::vector<T>& state, std::vector<T>& out) {
  const GdnCase& c = call.c;
  const int64_t d = c.dim;
  const T scale = T(1) / std::sqrt(static_cast<T>(d));
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t h = 0; h < c.v_heads; ++h) {
      T* const S = state.data() + (b * c.v_heads + h) * d * d;
      for (int64_t t = 0; t < c.seqlen; ++t) {
        const int64_t row = b * c.seqlen + t, hk = h * c.k_heads / c.v_heads;
        const float* const q = call.qf.data() + (row * c.k_heads + hk) * d;
        const float* const k = call.kf.data() + (row * c.k_heads + hk) * d;
        const float* const v = call.vf.data() + (row * c.v_heads + h) * d;
        const T decay = std::exp(static_cast<T>(call.g[static_cast<size_t>(row * c.v_heads + h)]));
        const T beta = static_cast<T>(call.beta[static_cast<size_t>(row * c.v_heads + h)]);
        for (int64_t i = 0; i < d; ++i) {
          T seen = 0, read = 0;
          for (int64_t j = 0; j < d; ++j) seen += (S[i * d + j] *= decay) * k[j];
          const T error = beta * (v[i] - seen);
          for (int64_t j = 0; j < d; ++j) read += (S[i * d + j] += error * k[j]) * q[j];
          out[static_cast<size_t>((row * c.v_heads + h) * d + i)] = read * scale;
        }
      }
    }
}

template <class T, class Want>
double relative_rms(const std::vector<T>& got, const std::vector<Want>& want) {
  double error = 0, size = 0;
  for (size_t n = 0; n < want.size(); ++n) {
    const double w = static_cast<double>(want[n]), e = static_cast<double>(got[n]) - w;
    error += e * e;
    size += w * w;
  }
  return std::sqrt(error / size);
}

struct Gold {
  std::vector<double> state, out;
  explicit Gold(const Call& call)
      : state(call.start.begin(), call.start.end()), out(call.vf.size()) {
    recurrence<double>(call, state, out);
  }
};

// Empty, or what is wrong with out and state.
template <class T>
std::string verdict(const Call& call, const Gold& gold, const std::vector<T>& out,
                    const std::vector<float>& state) {
  const double allowed_out = call.c.dtype == DType::kBF16 ? 8e-3 : 1e-5,
               allowed_state = call.c.dtype == DType::kBF16 ? 5e-3 : 1e-5;
  const double e_out = relative_rms(out, gold.out), e_state = relative_rms(state, gold.state);
  if (e_out <= allowed_out && e_state <= allowed_state) return "";
  return "relative RMS of out " + std::to_string(e_out) + ", of state " + std::to_string(e_state);
}

void report(benchmark::State& state, const Call& call, const Samples& samples) {
  count(state, samples);
  state.counters["GFLOP/s"] = call.flop() / samples.best() * 1e-9;
  state.counters["us/token/head"] =
      samples.best() * 1e6 / static_cast<double>(call.c.batch * call.c.seqlen * call.c.v_heads);
}

void time_row(benchmark::State& state, const GdnCase& c, const std::string& row, int32_t chunk,
              int threads) {
  try {
    set_num_threads(threads);
    Call call(c);
    call.params.chunk_size = chunk;
    const Gold gold(call);
    const auto run = [&] { GatedDeltaNet().run_kernel(row, call.args, call.params); };
    run();
    std::vector<double> out;
    for (size_t n = 0; n < call.vf.size(); ++n)
      out.push_back(testing::load(c.dtype, call.out.data() + n * size_t(size_bytes(c.dtype))));
    if (const std::string wrong = verdict(call, gold, out, call.state); !wrong.empty())
      return fail(state, wrong);
    report(state, call, take_samples(state, calls_per_sample(run), threads, run));
  } catch (const std::exception& e) {
    fail(state, e.what());
  }
}

void time_recurrence(benchmark::State& state, const GdnCase& c) {
  Call call(c);
  const Gold gold(call);
  std::vector<float> out(call.vf.size());
  recurrence<float>(call, call.state, out);
  if (const std::string wrong = verdict(call, gold, out, call.state); !wrong.empty())
    return fail(state, wrong);
  const auto run = [&] { recurrence<float>(call, call.state, out); };
  report(state, call, take_samples(state, calls_per_sample(run), 1, run));
}

void add_all() {
  const auto add = [](const std::string& name, auto&& body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->Unit(benchmark::kMicrosecond);
  };
  for (const GdnCase& c : kCases) {
    add("recurrence/" + c.name() + "/threads:1",
        [&c](benchmark::State& s) { time_recurrence(s, c); });
    for (const GdnKernel& row : Registry::global().gdn_kernels(DeviceType::kNative)) {
      if (!row.available(Device{})) continue;
      for (int32_t chunk : {1, 16, 32, 64, 128}) {
        if (c.seqlen == 1 && chunk != 64) continue;
        for (int threads : {1, num_threads()}) {
          if (threads > 1 && c.batch * c.v_heads == 1) continue;  // one task
          add(std::string(row.name) + "/" + c.name() + "/chunk" + std::to_string(chunk) +
                  "/threads:" + std::to_string(threads),
              [=, &c, name = std::string(row.name)](benchmark::State& s) {
                time_row(s, c, name, chunk, threads);
              });
          if (threads == 1 && num_threads() == 1) break;
        }
      }
    }
  }
}

}  // namespace
}  // namespace attend::bench

int main(int argc, char** argv) {
  attend::bench::add_all();
  return attend::bench::run(argc, argv);
}
