// model_logits FOLDER f32|bf16 CHUNK ID...: the logits of every row of one sequence on stdout, f32,
// read CHUNK rows a step (0 = all at once). An error goes to stderr in its own words, status 1.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "attend/error.h"
#include "strategies/engine/models/model.h"
#include "tests/engine/models/dense_backend.h"

namespace {

void run(const std::string& folder, const std::string& compute, int64_t chunk,
         const std::vector<int32_t>& ids) {
  using namespace attend;
  engine::ModelOptions options;
  options.compute = compute == "bf16" ? DType::kBF16 : DType::kF32;
  const auto model = engine::load_model(folder, options);
  testing::DenseBackend backend;
  const auto total = static_cast<int64_t>(ids.size());
  if (chunk == 0) chunk = total;
  for (int64_t begin = 0; begin < total; begin += chunk) {
    const int64_t count = std::min(chunk, total - begin);
    std::vector<int32_t> positions(static_cast<size_t>(count)), rows(positions.size());
    std::iota(positions.begin(), positions.end(), static_cast<int32_t>(begin));
    std::iota(rows.begin(), rows.end(), 0);
    const Tensor logits = Tensor::empty(DType::kF32, {count, model->config().vocab_size});
    model->forward({{ids.data() + begin, static_cast<size_t>(count)}, positions, rows}, backend,
                   logits);
    std::fwrite(logits.view().data, 4, static_cast<size_t>(logits.view().num_elements()), stdout);
  }
}

}  // namespace

int main(int count, char** words) {
  if (count < 5) return 2;
  std::vector<int32_t> ids;
  for (int i = 4; i < count; ++i) ids.push_back(std::atoi(words[i]));
  try {
    run(words[1], words[2], std::atoll(words[3]), ids);
  } catch (const attend::Error& e) {
    std::fprintf(stderr, "%s: %s\n", "error", e.what());
    return 1;
  }
}
