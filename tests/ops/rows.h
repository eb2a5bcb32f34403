#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "attend/error.h"
#include "tests/support/devices.h"
#include "tests/support/run_row.h"

// Every row of an operator x every element type: the parameter of the tests of meaning.
namespace attend::testing {

struct RowDtype {
  const AttentionKernel* row;
  DType dtype;
};

inline std::vector<RowDtype> rows_and_dtypes(std::initializer_list<OpId> ops) {
  std::vector<RowDtype> list;
  for (OpId op : ops) {
    for (const AttentionKernel& row : test_rows(op)) {
      for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) list.push_back({&row, dtype});
    }
  }
  return list;
}

inline std::string test_name(const RowDtype& p) {
  return test_name_of(p.row->name) + "_" + name(p.dtype);
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
      run_row(*GetParam().row, args, params, context);
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
