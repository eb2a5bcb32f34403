#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "attend/error.h"
#include "attend/operator.h"
#include "attend/registry.h"

// Every row of an operator on native x every element type: the parameter of the tests of meaning.
namespace attend::testing {

struct RowDtype {
  const AttentionKernel* row;
  DType dtype;
};

inline std::vector<RowDtype> rows_and_dtypes(std::initializer_list<OpId> ops) {
  std::vector<RowDtype> list;
  for (OpId op : ops) {
    for (const AttentionKernel& row :
         Registry::global().attention_kernels(op, DeviceType::kNative)) {
      for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) list.push_back({&row, dtype});
    }
  }
  return list;
}

inline std::string test_name(const RowDtype& p) {
  std::string text = std::string(p.row->name) + "_" + name(p.dtype);
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

inline void PrintTo(const RowDtype& p, std::ostream* stream) {
  *stream << p.row->name << " " << name(p.dtype);
}

class RowTest : public ::testing::TestWithParam<RowDtype> {
 protected:
  OpId op() const { return GetParam().row->op; }
  DType dtype() const { return GetParam().dtype; }

  // Runs the row. False, with the test skipped, where the row refuses the element type or this CPU.
  [[nodiscard]] bool run(const AttentionArgs& args, const AttentionParams& params,
                         const ExecContext& context = {}) const {
    try {
      attention_op(op()).run_kernel(GetParam().row->name, args, params, context);
      return true;
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kUnsupported) throw;
      skip(e.what());
      return false;
    }
  }

 private:
  static void skip(const char* why) { GTEST_SKIP() << why; }
};

}  // namespace attend::testing
