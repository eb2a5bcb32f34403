// gdn on native: every row x prefill and decode x chunk sizes. A call is compared with the token
// recurrence in float64 before it is timed; one that is wrong fails in place of printing a time.
//   gdn/native/avx512/prefill4096_h1x1_d128_f32/chunk64/threads:1
//   .../chunk1/...        the row's recurrence, all tokens in one call
//   .../one_by_one/...    the row's recurrence, a call for each token: decode on a warm state
//   recurrence/...        the five lines of gdn_params.h in f32, compiled as the rest of the program
// GFLOP/s count 6 k_dim v_dim a token and head, three products with the state, however they are
// made; of_fma_peak the matrix work that is needed (matrix_flop) against the f32 FMA peak:
//   chunk of C tokens   3 C k_dim v_dim with the state, C^2 k_dim for the lower halves of K K^T and
//                       Q K^T, C^2 v_dim for the substitution and the product with U; times 2 for
//                       multiply and add
//   one token           4 k_dim v_dim: decay, prediction, update and output; times 2
// decode reads and writes every state once: of_read_peak is that against the read bandwidth, with
// states that rotate beyond the caches; decode_warm has one set of them.
#include <benchmark/benchmark.h>

#include <cmath>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"
#include "backends/native/gdn_call.h"
#include "bench/support/bench_main.h"
#include "bench/support/machine.h"
#include "bench/support/peak.h"
#include "bench/support/samples.h"
#include "tests/support/element.h"
#include "tests/support/noise.h"

namespace attend::bench {
namespace {

struct GdnCase {
  const char* label;
  int64_t batch, seqlen, k_heads, v_heads, dim;
  DType dtype;
  bool rotates = false;  // states from beyond the caches
  std::string name() const {
    return std::string(label) + "_b" + std::to_string(batch) + "_h" + std::to_string(k_heads) +
           "x" + std::to_string(v_heads) + "_d" + std::to_string(dim) + "_" + attend::name(dtype);
  }
};

constexpr GdnCase kCases[] = {{"prefill4096", 1, 4096, 1, 1, 128, DType::kF32},
                              {"prefill4096", 1, 4096, 1, 1, 128, DType::kBF16},
                              {"prefill1024", 1, 1024, 4, 8, 128, DType::kBF16},
                              {"prefill128", 1, 128, 4, 8, 128, DType::kBF16},
                              {"prefill20", 1, 20, 4, 8, 128, DType::kBF16},
                              {"decode", 8, 1, 4, 8, 128, DType::kBF16, true},
                              {"decode_warm", 1, 1, 4, 8, 128, DType::kBF16}};

// Memory that begins a cache line, as frameworks give it.
template <class T>
struct Lines {
  using value_type = T;
  T* allocate(size_t n) {
    return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{64}));
  }
  void deallocate(T* p, size_t) { ::operator delete (p, std::align_val_t{64}); }
  friend bool operator==(const Lines&, const Lines&) { return true; }
};
using Bytes = std::vector<std::byte, Lines<std::byte>>;
using Floats = std::vector<float, Lines<float>>;

// The tensors of a case; values are rounded to the case's type, and known in f32 and f64.
struct Call {
  GdnCase c;
  Bytes q, k, v, out;
  std::vector<float> qf, kf, vf, g, beta;
  Floats state, start;
  GdnArgs args;
  GdnParams params;

  explicit Call(const GdnCase& the_case) : c(the_case) {
    const auto fill = [&](const char* what, Bytes& to, std::vector<float>& copy, int64_t heads,
                          double spread) {
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
    const auto tokens = [&](Bytes& x, int64_t heads) {
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

  double tokens_heads() const { return static_cast<double>(c.batch * c.seqlen * c.v_heads); }
  double flop() const { return 6.0 * tokens_heads() * static_cast<double>(c.dim * c.dim); }

  // Of one sequence and head, with chunks of so many tokens; 1 = the recurrence.
  double matrix_flop(int64_t chunk) const {
    const auto d = static_cast<double>(c.dim);
    double flop = 0;
    for (int64_t first = 0; first < c.seqlen; first += chunk) {
      const auto n = static_cast<double>(std::min(chunk, c.seqlen - first));
      flop += n == 1 ? 8 * d * d : 6 * n * d * d + 4 * n * n * d;
    }
    return flop;
  }
  double state_bytes() const {
    return 2.0 * static_cast<double>(start.size() * sizeof(float));  // read and written
  }
};

// The recurrence over a whole call, in T.
template <class T, class State>
void recurrence(const Call& call, State& state, std::vector<T>& out) {
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

template <class Got>
double relative_rms(const Got& got, const std::vector<double>& want) {
  double error = 0, size = 0;
  for (size_t n = 0; n < want.size(); ++n) {
    const double w = want[n], e = static_cast<double>(got[n]) - w;
    error += e * e;
    size += w * w;
  }
  return std::sqrt(error / size);
}

struct Gold {
  std::vector<double> state, out;
  explicit Gold(const Call& call)
      : state(call.start.begin(), call.start.end()), out(call.vf.size()) {
    recurrence(call, state, out);
  }
};

// Empty, or what is wrong with out and state.
template <class T>
std::string verdict(const Call& call, const Gold& gold, const std::vector<T>& out,
                    const Floats& state) {
  const double allowed_out = call.c.dtype == DType::kBF16 ? 8e-3 : 1e-5,
               allowed_state = call.c.dtype == DType::kBF16 ? 5e-3 : 1e-5;
  const double e_out = relative_rms(out, gold.out), e_state = relative_rms(state, gold.state);
  if (e_out <= allowed_out && e_state <= allowed_state) return "";
  return "relative RMS of out " + std::to_string(e_out) + ", of state " + std::to_string(e_state);
}

void report(benchmark::State& state, const Call& call, int64_t chunk, const Samples& samples,
            int threads) {
  count(state, samples);
  state.counters["GFLOP/s"] = call.flop() / samples.best() * 1e-9;
  state.counters["us/token/head"] = samples.best() * 1e6 / call.tokens_heads();
  if (call.c.seqlen == 1) return count_bytes(state, samples, call.state_bytes(), threads);
  const double flop = call.matrix_flop(chunk) * static_cast<double>(call.c.batch * call.c.v_heads);
  state.counters["matrix_flop"] = flop / call.tokens_heads();
  state.counters["of_fma_peak"] = flop / samples.best() / peak(threads).f32_fma;
}

enum class Way : uint8_t { kWhole, kOneByOne };

// The call as it is, or a call for each of its tokens.
std::function<void()> runner(Call& call, const std::string& row, Way way) {
  if (way == Way::kWhole)
    return [&call, row] { GatedDeltaNet().run_kernel(row, call.args, call.params); };
  return [&call, row] {
    GatedDeltaNet op;
    for (int64_t t = 0; t < call.c.seqlen; ++t) {
      GdnArgs one = call.args;
      for (TensorView* x : {&one.q, &one.k, &one.v, &one.out, &one.g, &one.beta}) {
        x->data = static_cast<char*>(x->data) + t * x->stride[1] * size_bytes(x->dtype);
        x->shape[1] = 1;
      }
      op.run_kernel(row, one, call.params);
    }
  };
}

void time_row(benchmark::State& state, const GdnCase& c, const std::string& row, int32_t chunk,
              Way way, int threads) {
  try {
    set_num_threads(threads);
    Call call(c);
    call.params.chunk_size = chunk;
    const Gold gold(call);
    const auto once = runner(call, row, way);
    once();
    std::vector<double> out;
    for (size_t n = 0; n < call.vf.size(); ++n)
      out.push_back(testing::load(c.dtype, call.out.data() + n * size_t(size_bytes(c.dtype))));
    if (const std::string wrong = verdict(call, gold, out, call.state); !wrong.empty())
      return fail(state, wrong);
    std::vector<Floats> states(1, call.start);
    while (c.rotates && static_cast<double>(states.size()) * call.state_bytes() / 2 <
                            static_cast<double>(bytes_beyond_cache()))
      states.push_back(call.start);
    size_t at = 0;
    const auto run = [&] {
      call.args.state.data = states[at].data();
      at = (at + 1) % states.size();
      once();
    };
    report(state, call, way == Way::kOneByOne ? 1 : native::chunk_tokens(chunk),
           take_samples(state, calls_per_sample(run), threads, run), threads);
  } catch (const std::exception& e) {
    fail(state, e.what());
  }
}

void time_recurrence(benchmark::State& state, const GdnCase& c) {
  Call call(c);
  const Gold gold(call);
  std::vector<float> out(call.vf.size());
  recurrence(call, call.state, out);
  if (const std::string wrong = verdict(call, gold, out, call.state); !wrong.empty())
    return fail(state, wrong);
  const auto run = [&] { recurrence(call, call.state, out); };
  report(state, call, 1, take_samples(state, calls_per_sample(run), 1, run), 1);
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
      if (c.seqlen > 1)
        add(std::string(row.name) + "/" + c.name() + "/one_by_one/threads:1",
            [=, &c, name = std::string(row.name)](benchmark::State& s) {
              time_row(s, c, name, 64, Way::kOneByOne, 1);
            });
      for (int32_t chunk : {1, 16, 32, 64, 128}) {
        if (c.seqlen == 1 && chunk != 64) continue;
        for (int threads : {1, num_threads()}) {
          add(std::string(row.name) + "/" + c.name() + "/chunk" + std::to_string(chunk) +
                  "/threads:" + std::to_string(threads),
              [=, &c, name = std::string(row.name)](benchmark::State& s) {
                time_row(s, c, name, chunk, Way::kWhole, threads);
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
