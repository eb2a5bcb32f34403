#pragma once
#include <memory>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "tests/gdn/cases.h"
#include "tests/support/memory.h"

// The tensors of a gdn case on native.
namespace attend::testing {

// Owns the memory; args and params point into it. Equal cases give equal bits. NaN stands wherever
// nothing may be read: gaps between strides, rows past the last sequence, rows and slots of padding,
// slots of nobody; and in outputs before the call.
class GdnTensors {
 public:
  explicit GdnTensors(const GdnCase& c, uint64_t seed = 1);

  GdnArgs args;
  GdnParams params;
  GdnSizes sizes;

  GdnGold gold() const { return gdn_gold(args, params, sizes); }
  // Everything back to what it was before the first call.
  void reset();
  // Empty, or the first written tensor with a byte changed where gold has nothing.
  std::string damage(const GdnGold& gold) const;
  // The bytes of all that a call may write.
  std::vector<std::byte> written_bytes() const;
  // The tensor that holds the states after a call, if any.
  const TensorView& kept_state() const { return args.final_state ? args.final_state : args.state; }

 private:
  struct Placed {
    std::shared_ptr<Block> block;
    std::vector<std::byte> before;
    bool written = false;
  };
  template <class Value>
  TensorView add(DType dtype, const std::vector<int64_t>& shape, const Placement& place,
                 Value&& value, bool written);
  TensorView tokens(const char* what, DType dtype, std::vector<int64_t> inner, double mean,
                    double spread, bool gate);
  TensorView plain(const char* what, DType dtype, const std::vector<int64_t>& shape, double mean,
                   double spread);
  TensorView output(DType dtype);
  TensorView pool(const char* what, DType dtype, std::vector<int64_t> inner, bool filled,
                  bool written);
  TensorView integers(bool wide, const std::vector<int64_t>& values);
  void add_gates();
  void add_layer();
  void add_states();
  bool live_token(const std::vector<int64_t>& index) const;
  double noise(const char* what, const std::vector<int64_t>& index) const;

  GdnCase c_;
  uint64_t seed_;
  std::vector<int64_t> slots_;
  std::vector<Placed> placed_;
};

// Runs a row of gdn, by its name, on the device that it is for.
void run_gdn(const std::string& row, const GdnArgs& args, const GdnParams& params,
             const ExecContext& context = {});
inline void run_gdn(const std::string& row, const GdnTensors& t, const ExecContext& context = {}) {
  run_gdn(row, t.args, t.params, context);
}
// Names of the rows of gdn that the devices under test can run.
const std::vector<std::string>& gdn_rows();

// Relative RMS that contract 8 allows for out and state.
struct GdnAllowed {
  double out, state;
};
GdnAllowed gdn_allowed(DType dtype);

}  // namespace attend::testing
