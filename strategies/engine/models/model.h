#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "attend/tensor.h"
#include "strategies/engine/attention_backend.h"
#include "strategies/engine/models/config.h"

namespace attend::engine {

// The rows of one step, all requests one behind the other.
struct ModelInput {
  std::span<const int32_t> ids;          // [rows]
  std::span<const int32_t> positions;    // [rows], of the rotary embedding
  std::span<const int32_t> logits_rows;  // rows whose logits are wanted, ascending
};

struct ModelOptions {
  DType compute = DType::kF32;   // kF32 or kBF16: of products and of attention
  bool batch_invariant = false;  // Linear's
};

// A decoder: token ids in, logits out. Attention goes through the backend, everything else is here.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelConfig& config() const noexcept = 0;
  // What one pass over the weights reads.
  virtual uint64_t weight_bytes() const noexcept = 0;
  // logits  f32 [logits_rows, vocab_size]
  //   errors   kOutOfRange for an id outside the vocabulary; the operators' own
  virtual void forward(const ModelInput& input, AttentionBackend& backend,
                       const TensorView& logits) = 0;
};

// Reads config.json and the weights of a folder.
//   errors   kInvalidArgument naming the file, the field or the tensor, what was found and expected
std::unique_ptr<Model> load_model(const std::string& folder, const ModelOptions& options);

}  // namespace attend::engine
