// Stands in cudnn_plan.cc's place where cuDNN's headers were not found.
#include "backends/cuda/cudnn_plan.h"

namespace attend::cuda {

const std::string& cudnn_missing() {
  static const std::string why =
      "this build has no cuDNN: its headers were not found (ATTEND_CUDNN); run 'tools/setup cudnn'";
  return why;
}

std::string cudnn_graph_fault(const CudnnKey&) { return cudnn_missing(); }
std::shared_ptr<const CudnnPlan> cudnn_plan(const CudnnKey&) { return nullptr; }
std::shared_ptr<const CudnnPlan> cudnn_known_plan(const CudnnKey&) { return nullptr; }

}  // namespace attend::cuda
