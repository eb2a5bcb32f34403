#pragma once
#include <string>

#include "attend/operator.h"
#include "tests/support/device_memory.h"

// Calls of operators whose tensors lie in host memory, on any device: elsewhere than on native the
// memory travels there and back around the call, so that a test looks at results in one way.
namespace attend::testing {

// A call as it is on a device.
template <class Args, class Params>
class DeviceCall {
 public:
  DeviceCall(Device device, const Args& a, const Params& p);
  ~DeviceCall();
  DeviceCall(const DeviceCall&) = delete;
  DeviceCall& operator=(const DeviceCall&) = delete;

  Args args;
  Params params;
  // The caller's, with index checks on and an error word of this call.
  ExecContext context(const ExecContext& of_caller) const;
  // Waits for the call, brings its memory back, and throws what the error word holds.
  //   errors   kDeviceError where the call wrote what it may not
  void finish();
  // The call's memory on the host, to be run again on other data at the same addresses.
  DeviceMemory& memory() { return memory_; }

 private:
  Device device_;
  DeviceMemory memory_;
  ErrorWord word_;
  TensorView word_there_;
};
extern template class DeviceCall<AttentionArgs, AttentionParams>;
extern template class DeviceCall<GdnArgs, GdnParams>;
extern template class DeviceCall<MergeArgs, MergeParams>;

// The same call with its tensors said to be on a device: for questions that read no memory.
template <class Args, class Params>
void relabel(Args& a, Params& p, Device device);
extern template void relabel(AttentionArgs&, AttentionParams&, Device);
extern template void relabel(GdnArgs&, GdnParams&, Device);
extern template void relabel(MergeArgs&, MergeParams&, Device);

// call(args, params, context) on a device.
template <class Args, class Params, class Call>
RunResult on_device(DeviceType type, const Args& a, const Params& p, const ExecContext& context,
                    const Call& call) {
  if (type == DeviceType::kNative) return call(a, p, context);
  DeviceCall<Args, Params> there(Device{type, 0}, a, p);
  RunResult result;
  try {
    result = call(there.args, there.params, there.context(context));
  } catch (const Error&) {
    there.finish();  // what a refused call wrote shows
    throw;
  }
  there.finish();
  return result;
}

// Checks the call and runs one row, on the device that it is for.
inline RunResult run_row(const AttentionKernel& row, const AttentionArgs& a,
                         const AttentionParams& p, const ExecContext& context = {}) {
  return on_device(row.device, a, p, context, [&](const auto&... call) {
    return attention_op(row.op).run_kernel(row.name, call...);
  });
}
inline RunResult run_row(const GdnKernel& row, const GdnArgs& a, const GdnParams& p,
                         const ExecContext& context = {}) {
  return on_device(row.device, a, p, context, [&](const auto&... call) {
    return GatedDeltaNet().run_kernel(row.name, call...);
  });
}
inline RunResult run_row(const MergeKernel& row, const MergeArgs& a, const MergeParams& p = {},
                         const ExecContext& context = {}) {
  return on_device(row.device, a, p, context, [&](const auto&... call) {
    return MergePartials().run_kernel(row.name, call...);
  });
}

// forward() of an operator on a device.
template <class Args, class Params>
RunResult forward_there(const Operator<Args, Params>& op, DeviceType type, const Args& a,
                        const Params& p, const ExecContext& context = {}) {
  return on_device(type, a, p, context,
                   [&](const auto&... call) { return op.forward_on(type, call...); });
}

}  // namespace attend::testing
