// Answers in text what one process sees of oneDNN, which is opened once per process: whether the row
// is available, what forward() runs, and its output's bits.
#include <cstdio>

#include "attend/operator.h"
#include "tests/support/tensors.h"

int main() {
  using namespace attend;
  using namespace attend::testing;
  for (const AttentionKernel& row :
       Registry::global().attention_kernels(OpId::kSdpa, DeviceType::kNative))
    std::printf("%s: %s\n", row.name, to_string(row.available(Device{})).c_str());
  AttentionCase c;
  c.batch = 1, c.seqlen_q = 40, c.seqlen_k = 50, c.heads = 4, c.kv_heads = 2;
  CaseTensors t = make_tensors(c);
  t.reset_outputs();
  for (const KernelAnswer& answer : SdpaAttention().explain(t.args, t.params, Device{}))
    std::printf("%s says: %s\n", answer.kernel, to_string(answer.status).c_str());
  std::printf("ran %s\n", SdpaAttention().forward(t.args, t.params).kernel);
  uint64_t hash = 1469598103934665603u;  // FNV-1a
  for (std::byte b : t.output_bytes()) hash = (hash ^ static_cast<uint64_t>(b)) * 1099511628211u;
  std::printf("bits %016llx\n", static_cast<unsigned long long>(hash));
}
