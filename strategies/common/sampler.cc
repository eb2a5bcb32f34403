#include "strategies/common/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "strategies/common/draw.h"

namespace attend::engine {
namespace {

// Hugging Face's rule: what has been said becomes less likely, whichever sign its logit has.
void penalise(const Request& request, std::vector<float>& logits) {
  const float penalty = request.params.repetition_penalty;
  if (penalty == 1.0f) return;
  std::vector<int32_t> said = request.tokens;
  std::sort(said.begin(), said.end());
  said.erase(std::unique(said.begin(), said.end()), said.end());
  for (const int32_t token : said) {
    if (token < 0 || token >= static_cast<int32_t>(logits.size())) continue;
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit < 0 ? logit * penalty : logit / penalty;
  }
}

// Natural logarithm of the sum of exponentials.
double log_sum(const float* logits, int64_t count, float highest) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::exp(static_cast<double>(logits[i]) - highest);
  return highest + std::log(sum);
}

std::vector<std::pair<int32_t, float>> likeliest(const float* logits, int64_t vocab, int64_t count,
                                                 double log_total) {
  std::vector<int32_t> ids(static_cast<size_t>(vocab));
  std::iota(ids.begin(), ids.end(), 0);
  const auto end = ids.begin() + std::min(count, vocab);
  std::partial_sort(ids.begin(), end, ids.end(), [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  std::vector<std::pair<int32_t, float>> top;
  for (auto id = ids.begin(); id != end; ++id)
    top.emplace_back(*id, static_cast<float>(logits[*id] - log_total));
  return top;
}

Sample draw(Request& request, const float* row, int64_t vocab) {
  Sample sample{&request, {}, {}};
  const float highest = *std::max_element(row, row + vocab);
  const bool broken = std::any_of(row, row + vocab, [](float x) { return std::isnan(x); });
  if (broken || std::isinf(highest)) {
    sample.error = "request " + std::to_string(request.id) + ": logits of token " +
                   std::to_string(request.num_tokens()) + (broken ? " hold NaN" : " are infinite") +
                   ", expected finite numbers";
    return sample;
  }
  std::vector<float> logits(row, row + vocab);
  penalise(request, logits);
  sample.token.id =
      request.params.temperature == 0
          ? greedy(logits)
          : draw(logits, request.params,
                 uniform(request.params.seed.value_or(static_cast<uint64_t>(request.id)),
                         static_cast<uint64_t>(request.num_tokens())));
  if (request.params.logprobs >= 0) {
    const double total = log_sum(row, vocab, highest);
    sample.token.logprob = static_cast<float>(row[sample.token.id] - total);
    sample.token.top = likeliest(row, vocab, request.params.logprobs, total);
  }
  return sample;
}

}  // namespace

std::vector<Sample> Sampler::sample(const Batch& batch, const TensorView& logits) {
  std::vector<Sample> samples;
  const auto* data = static_cast<const float*>(logits.data);
  for (const ScheduledRequest& item : batch.items) {
    if (!item.samples) continue;
    const auto row = static_cast<int64_t>(samples.size());
    samples.push_back(draw(*item.request, data + row * logits.step(0), logits.dim(1)));
  }
  return samples;
}

}  // namespace attend::engine
