#pragma once
#include <initializer_list>
#include <string>

#include "ops/checks.h"

namespace attend {

inline std::string str(int64_t n) { return std::to_string(n); }

// Checks of one call, which all begin with the same words.
class Checker {
 public:
  explicit Checker(const char* where) : where_(where) {}

  void rank(const char* arg, const TensorView& t, int want, const char* shape) const {
    if (t.rank != want) wrong_rank(arg, t, want, shape);
  }
  void dim(const char* arg, const TensorView& t, int i, int64_t want, const char* why) const {
    if (t.dim(i) != want) wrong_dim(arg, t, i, want, why);
  }
  void dtype(const char* arg, const TensorView& t, std::initializer_list<DType> want,
             const char* why = "") const {
    for (DType d : want)
      if (t.dtype == d) return;
    wrong_dtype(arg, t, want, why);
  }
  void given(const char* arg, const TensorView& t, const char* why) const {
    if (!t) throw_invalid(where_, std::string(arg) + " is absent, expected " + why);
  }

  // An optional index vector of n elements.
  void index(const char* arg, const TensorView& t, int64_t n, const char* why) const {
    if (!t) return;
    rank(arg, t, 1, "[batch]");
    dtype(arg, t, {DType::kI32, DType::kI64});
    dim(arg, t, 0, n, why);
  }

  // Right-aligned to [batch, heads, seqlen_q, seqlen_k], each dimension 1 or full.
  void broadcast(const char* arg, const TensorView& t, const int64_t (&full)[4],
                 const char* const (&names)[4] = {"batch", "heads", "seqlen_q", "seqlen_k"}) const {
    if (t.rank > 4)
      rank(arg, t, 4,
           (std::string("[batch, heads, ") + names[2] + ", " + names[3] + "] or less").c_str());
    for (int r = 0; r < t.rank; ++r) {
      const int64_t got = t.dim(-1 - r), want = full[3 - r];
      if (got != 1 && got != want)
        throw_invalid(where_, std::string(arg) + " dim " + str(t.rank - 1 - r) + " is " + str(got) +
                                  ", expected 1 or " + str(want) + " (" + names[3 - r] + ")");
    }
  }

  const char* where() const { return where_; }

 private:
  // Words apart from questions: these are small enough to stand where they are asked.
  [[noreturn, gnu::cold, gnu::noinline]] void wrong_rank(const char* arg, const TensorView& t,
                                                         int want, const char* shape) const {
    throw_invalid(where_, std::string(arg) + " rank is " + str(t.rank) + ", expected " + str(want) +
                              " " + shape);
  }
  [[noreturn, gnu::cold, gnu::noinline]] void wrong_dim(const char* arg, const TensorView& t, int i,
                                                        int64_t want, const char* why) const {
    throw_invalid(where_, std::string(arg) + " dim " + str(i < 0 ? t.rank + i : i) + " is " +
                              str(t.dim(i)) + ", expected " + str(want) + " (" + why + ")");
  }
  [[noreturn, gnu::cold, gnu::noinline]] void wrong_dtype(const char* arg, const TensorView& t,
                                                          std::initializer_list<DType> want,
                                                          const char* why) const {
    std::string names;
    for (DType d : want)
      if (names != name(d)) names += (names.empty() ? "" : " or ") + std::string(name(d));
    throw_invalid(where_,
                  std::string(arg) + " dtype is " + name(t.dtype) + ", expected " + names + why);
  }

  const char* where_;
};

}  // namespace attend
