// Times attend on behalf of another program (bench/compare), so that samples of several
// implementations can alternate: one JSON object a line on stdin, one answer a line on stdout.
//   {"cmd":"prep","shape":[batch,heads,kv_heads,seqlen_q,seqlen_k,head_dim,v_dim],"causal":0|1,
//    "dtype":"fp32|bf16|fp16","threads":n,"copies":n}     optional: "op", "kernel", "heads_first",
//    "page_size" (paged, default 16), "kv_dtype":"fp8_e4m3|fp8_e5m2|int8|.." (paged, decode),
//    "window":n (keys before the row's own), "block_mask":n (splash: n x n, a quarter is kept)
//       -> {"ok":true,"kernel":..,"max_err":..,"allowed_err":..,"first_call_s":..}, after the call
//          was found right by the float64 oracle, or {"ok":false,"error":".."}
//   {"cmd":"time","calls":n} -> {"secs":[wall, per call],"cpu":[of the process, per call],
//                                "cpus":CPUs in use}, after one call that is not timed; the last
//          call's output is checked too
//   {"cmd":"quit"}
// Causal is bottom right. copies > 1: so many K and V in turn. heads_first: memory is [batch,
// heads, seqlen, dim] as PyTorch's, else [batch, seqlen, heads, dim]. v_dim below head_dim with one
// kv head: v lies in k (MLA).
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"
#include "bench/support/machine.h"
#include "bench/support/rotation.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::bench {
namespace {

using nlohmann::json;

DType dtype_of(const char* key, const std::string& word, bool cache) {
  const std::pair<const char*, DType> kTypes[] = {
      {"fp32", DType::kF32},        {"bf16", DType::kBF16},       {"fp16", DType::kF16},
      {"fp8_e4m3", DType::kF8E4M3}, {"fp8_e5m2", DType::kF8E5M2}, {"int8", DType::kI8}};
  for (const auto& [known, dtype] : kTypes)
    if (word == known && (cache || size_bytes(dtype) > 1)) return dtype;
  throw std::runtime_error(std::string(key) + " is '" + word + "', expected fp32, bf16 or fp16" +
                           (cache ? ", fp8_e4m3, fp8_e5m2 or int8" : ""));
}

// The words of a case that belong to one operator.
void set_family(testing::AttentionCase& c, OpId op, const json& words) {
  if (op == OpId::kPaged) {
    c.family = testing::Family::kPaged;
    c.page_size = words.value("page_size", 16);
    if (c.page_size < 1)
      throw std::runtime_error("page_size is " + std::to_string(c.page_size) +
                               ", expected 1 or more");
    c.full_lengths = true;
  }
  if (op == OpId::kDecode) c.family = testing::Family::kDecode;
  if (words.contains("kv_dtype")) {
    if (c.family == testing::Family::kPlain)
      throw std::runtime_error("kv_dtype is given, expected it with paged or decode");
    c.k_cache = dtype_of("kv_dtype", words.at("kv_dtype"), true);
    if (!c.v_in_k) c.v_cache = c.k_cache;
    if (size_bytes(*c.k_cache) == 1) c.descale = testing::Descale::kHeads;
  }
  if (words.contains("block_mask")) {
    if (op != OpId::kSplash)
      throw std::runtime_error("block_mask is given, expected it with splash");
    c.family = testing::Family::kSplash;
    c.block_mask = testing::Spread::kRowsKeys;
    c.block_mask_q = c.block_mask_k = words.at("block_mask");
    if (c.block_mask_q < 1)
      throw std::runtime_error("block_mask is " + std::to_string(c.block_mask_q) +
                               ", expected 1 or more");
    c.block_mask_quarters = 1;
  }
}

testing::AttentionCase case_of(const json& words) {
  const std::vector<int64_t> shape = words.at("shape");
  if (shape.size() != 7)
    throw std::runtime_error("shape has " + std::to_string(shape.size()) + " numbers, expected 7");
  testing::AttentionCase c;
  c.batch = shape[0];
  c.heads = shape[1];
  c.kv_heads = shape[2];
  c.seqlen_q = shape[3];
  c.seqlen_k = shape[4];
  c.head_dim = shape[5];
  c.v_dim = shape[6];
  c.v_in_k = c.v_dim < c.head_dim && c.kv_heads == 1;
  c.causal = words.value("causal", 0) != 0;
  c.dtype = dtype_of("dtype", words.at("dtype"), false);
  c.window_left = words.value("window", -1);
  if (words.value("heads_first", false)) c.strides = testing::Strides::kHeadsFirst;
  const OpId op = op_from_name(words.value("op", "flash"));
  if (op == OpId::kSdpa) c.diagonal = Diagonal::kBottomRight;
  set_family(c, op, words);
  return c;
}

class Session {
 public:
  explicit Session(const json& words)
      : op_(attention_op(op_from_name(words.value("op", "flash")))),
        kernel_(words.value("kernel", "")),
        tensors_(case_of(words), testing::Fill::kPlain),
        rotation_(tensors_.args, words.value("copies", 1)) {
    set_num_threads(words.value("threads", num_threads()));
  }

  json prepare() {
    const double first = seconds_of_call(tensors_.args);
    judge_ =
        std::make_unique<testing::Judge>(tensors_.args, tensors_.params, testing::JudgeOptions{64});
    const auto verdicts = check();
    const double second = seconds_of_call(tensors_.args);
    return {{"ok", true},
            {"kernel", ran_},
            {"max_err", verdicts[0].max_error},
            {"allowed_err", verdicts[0].allowed_error},
            {"first_call_s", first},
            {"second_call_s", second},
            {"note", ran_ + " on " + native_isa()}};
  }

  json time(int calls) {
    call(rotation_.next());
    json wall = json::array(), cpu = json::array();
    const double wall_begin = wall_seconds(), cpu_begin = process_cpu_seconds();
    for (int n = 0; n < calls; ++n) {
      const AttentionArgs& args = rotation_.next();
      const double cpu_before = process_cpu_seconds(), wall_before = wall_seconds();
      call(args);
      wall.push_back(wall_seconds() - wall_before);
      cpu.push_back(process_cpu_seconds() - cpu_before);
    }
    const double cpus = (process_cpu_seconds() - cpu_begin) / (wall_seconds() - wall_begin);
    check();
    return {{"secs", wall}, {"cpu", cpu}, {"cpus", cpus}};
  }

 private:
  void call(const AttentionArgs& args) {
    ran_ = (kernel_.empty() ? op_.forward(args, tensors_.params)
                            : op_.run_kernel(kernel_, args, tensors_.params))
               .kernel;
  }
  std::vector<testing::Accuracy> check() const {
    auto verdicts = judge_->compare(tensors_.args);
    if (!all_ok(verdicts)) throw std::runtime_error(to_string(verdicts));
    return verdicts;
  }
  double seconds_of_call(const AttentionArgs& args) {
    const double begin = wall_seconds();
    call(args);
    return wall_seconds() - begin;
  }

  const AttentionOp& op_;
  std::string kernel_, ran_;
  testing::CaseTensors tensors_;
  std::unique_ptr<testing::Judge> judge_;
  Rotation rotation_;
};

int serve() {
  std::unique_ptr<Session> session;
  for (std::string line; std::getline(std::cin, line);) {
    json answer;
    try {
      const json words = json::parse(line);
      const std::string command = words.at("cmd");
      if (command == "quit") return 0;
      if (command == "prep") {
        session.reset();
        auto fresh = std::make_unique<Session>(words);
        answer = fresh->prepare();
        session = std::move(fresh);
      } else if (command == "time") {
        if (session == nullptr) throw std::runtime_error("time before a prep that succeeded");
        answer = session->time(words.at("calls"));
      } else {
        throw std::runtime_error("cmd is '" + command + "', expected prep, time or quit");
      }
    } catch (const std::exception& e) {
      answer = {{"ok", false}, {"error", e.what()}};
    }
    std::cout << answer.dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace attend::bench

int main() { return attend::bench::serve(); }
