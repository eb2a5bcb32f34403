#pragma once
#include <functional>
#include <string>
#include <vector>

#include "attend/kernel.h"
#include "attend/registry.h"

// The devices that tests run on, and the rows there.
namespace attend::testing {

// ATTEND_TEST_DEVICES=native,cuda,rocm in the environment. Unset: native, and with ATTEND_SIMT=1
// the backends whose driver is stood in for. One that is named and has no device is an error, so
// that no test passes because nothing ran.
const std::vector<DeviceType>& test_devices();

// The rows of an operator on those devices, one device after another.
std::vector<std::reference_wrapper<const AttentionKernel>> test_rows(OpId op);
std::vector<std::reference_wrapper<const GdnKernel>> test_gdn_rows();
std::vector<std::reference_wrapper<const MergeKernel>> test_merge_rows();

// The row that accepts every case of its operator's domain, whatever the machine.
std::string portable_row(OpId op, DeviceType device);

// An operator on a device, the parameter of tests that are about no single row.
struct OpOnDevice {
  OpId op;
  DeviceType device;
};
std::vector<OpOnDevice> on_test_devices(const std::vector<OpId>& ops);
void PrintTo(const OpOnDevice& p, std::ostream* stream);

// Legal names of tests: "flash_cuda_portable", "flash_cuda".
std::string test_name_of(const char* row);
std::string test_name_of(const OpOnDevice& p);

}  // namespace attend::testing
