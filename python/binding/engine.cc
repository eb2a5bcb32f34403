// attend.Engine's other half: what python/src/attend/_engine.py is written on.
#include "strategies/engine/engine.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "call.h"

namespace nb = nanobind;

namespace attend::python {
namespace {

using engine::Completion;
using engine::Engine;
using engine::EngineConfig;
using engine::Progress;
using engine::SamplingParams;

// Words of a dict into fields of the same name; a word that no field took is an error.
class Words {
 public:
  Words(const char* where, const nb::dict& words) : where_(where), words_(words) {}

  template <class T>
  Words& take(const char* word, T& field) {
    if (!words_.contains(word)) return *this;
    ++taken_;
    const nb::object value = words_[word];
    if (value.is_none()) return *this;
    if (!nb::try_cast<T>(value, field))
      throw nb::type_error((std::string(where_) + ": " + word + " is " +
                            nb::cast<std::string>(nb::repr(value)) + ", expected " +
                            nb::cast<std::string>(nb::repr(nb::cast(field).type())))
                               .c_str());
    return *this;
  }

  void finish(const char* known) const {
    if (taken_ == words_.size()) return;
    const std::string all = std::string(" ") + known + " ";
    for (const auto& [word, value] : words_)
      if (const auto name = nb::cast<std::string>(word);
          all.find(" " + name + " ") == std::string::npos)
        throw nb::type_error(
            (std::string(where_) + "() got an unexpected keyword argument '" + name + "'").c_str());
  }

 private:
  const char* where_;
  const nb::dict& words_;
  size_t taken_ = 0;
};

EngineConfig config_from(const std::string& model, const nb::dict& words) {
  EngineConfig c;
  c.model = model;
  std::string dtype;
  std::vector<int32_t> eos;
  const bool has_eos =
      words.contains("eos_token_ids") && !nb::object(words["eos_token_ids"]).is_none();
  Words("Engine", words)
      .take("strategy", c.strategy)
      .take("dtype", dtype)
      .take("page_size", c.page_size)
      .take("num_pages", c.num_pages)
      .take("kv_cache_bytes", c.kv_cache_bytes)
      .take("prefix_caching", c.prefix_caching)
      .take("max_num_reqs", c.max_num_reqs)
      .take("max_num_batched_tokens", c.max_num_batched_tokens)
      .take("max_model_len", c.max_model_len)
      .take("batch_invariant", c.batch_invariant)
      .take("chunk", c.chunk)
      .take("eos_token_ids", eos)
      .finish(
          "strategy dtype page_size num_pages kv_cache_bytes prefix_caching max_num_reqs "
          "max_num_batched_tokens max_model_len batch_invariant chunk eos_token_ids");
  if (has_eos) c.eos_token_ids = eos;
  if (dtype == "float32" || dtype == "f32")
    c.dtype = DType::kF32;
  else if (dtype == "bfloat16" || dtype == "bf16")
    c.dtype = DType::kBF16;
  else if (!dtype.empty())
    throw Error(ErrorCode::kInvalidArgument,
                "Engine: dtype is '" + dtype + "', expected float32 or bfloat16");
  return c;
}

SamplingParams params_from(const nb::dict& words) {
  SamplingParams p;
  uint64_t seed = 0;
  const bool has_seed = words.contains("seed") && !nb::object(words["seed"]).is_none();
  Words("generate", words)
      .take("temperature", p.temperature)
      .take("top_k", p.top_k)
      .take("top_p", p.top_p)
      .take("min_p", p.min_p)
      .take("repetition_penalty", p.repetition_penalty)
      .take("seed", seed)
      .take("max_tokens", p.max_tokens)
      .take("ignore_eos", p.ignore_eos)
      .take("stop_token_ids", p.stop_token_ids)
      .take("stop", p.stop)
      .take("logprobs", p.logprobs)
      .finish(
          "temperature top_k top_p min_p repetition_penalty seed max_tokens ignore_eos "
          "stop_token_ids stop logprobs");
  if (has_seed) p.seed = seed;
  return p;
}

nb::dict dict_of(const Completion& c) {
  nb::dict d;
  d["id"] = c.id;
  d["prompt_ids"] = c.prompt_ids;
  d["token_ids"] = c.token_ids;
  d["text"] = nb::steal(
      PyUnicode_DecodeUTF8(c.text.data(), static_cast<Py_ssize_t>(c.text.size()), "replace"));
  d["finish_reason"] = engine::name(c.finish_reason);
  d["error"] = c.error;
  nb::list logprobs;
  for (const engine::TokenLogprob& t : c.logprobs) {
    nb::list top;
    for (const auto& [id, logprob] : t.top) top.append(nb::make_tuple(id, logprob));
    logprobs.append(nb::make_tuple(t.id, t.logprob, top));
  }
  d["logprobs"] = logprobs;
  d["num_shared"] = c.num_shared;
  d["num_preemptions"] = c.num_preemptions;
  d["seconds_to_first_token"] = c.seconds_to_first_token;
  d["seconds"] = c.seconds;
  return d;
}

nb::dict dict_of(const engine::EngineStats& s) {
  nb::dict d;
  d["steps"] = s.steps;
  d["rows"] = s.rows;
  d["prompt_tokens"] = s.prompt_tokens;
  d["response_tokens"] = s.response_tokens;
  d["shared_tokens"] = s.shared_tokens;
  d["preemptions"] = s.preemptions;
  d["kv_pages"] = s.kv_pages;
  d["kv_pages_peak"] = s.kv_pages_peak;
  d["model_seconds"] = s.model_seconds;
  d["product_seconds"] = s.product_seconds;
  d["operator_seconds"] = s.operator_seconds;
  d["step_seconds"] = s.step_seconds;
  return d;
}

// The engine calls back without the interpreter's lock.
engine::OnProgress listener(const nb::object& on_progress) {
  if (on_progress.is_none()) return {};
  const std::shared_ptr<nb::object> call(new nb::object(on_progress), [](nb::object* o) {
    const nb::gil_scoped_acquire lock;
    delete o;
  });
  return [call](const Progress& p) {
    const nb::gil_scoped_acquire lock;
    (*call)(p.id, std::vector<int32_t>(p.token_ids.begin(), p.token_ids.end()),
            nb::steal(PyUnicode_DecodeUTF8(p.text.data(), static_cast<Py_ssize_t>(p.text.size()),
                                           "replace")),
            p.finish_reason == engine::FinishReason::kNone
                ? nb::none()
                : nb::cast(engine::name(p.finish_reason)));
  };
}

int64_t add(Engine& self, const nb::object& prompt, const nb::dict& params,
            const nb::object& listen) {
  const SamplingParams p = params_from(params);
  if (PyUnicode_Check(prompt.ptr()))
    return self.add(nb::cast<std::string>(prompt), p, listener(listen));
  std::vector<int32_t> ids;
  if (!nb::try_cast(prompt, ids))
    throw nb::type_error("generate: prompt is neither a str nor a list of token ids of 32 bits");
  return self.add(std::move(ids), p, listener(listen));
}

const engine::Tokenizer& tokenizer_of(const Engine& self) {
  if (self.tokenizer() == nullptr)
    throw Error(ErrorCode::kInvalidArgument,
                "Engine: the model has no tokenizer.json, expected token ids in place of text");
  return *self.tokenizer();
}

}  // namespace

void bind_engine(nb::module_& m) {
  using Free = nb::call_guard<nb::gil_scoped_release>;
  nb::class_<Engine>(m, "Engine")
      .def("__init__",
           [](Engine* self, const std::string& model, const nb::dict& words) {
             const EngineConfig config = config_from(model, words);
             const nb::gil_scoped_release free;
             new (self) Engine(config);
           })
      .def("add", &add, nb::arg("prompt"), nb::arg("params"), nb::arg("on_progress").none())
      .def("step", &Engine::step, Free())
      .def("abort", &Engine::abort)
      .def("take", [](Engine& self, int64_t id) { return dict_of(self.take(id)); })
      .def("has_work", &Engine::has_work)
      .def("free_pages", &Engine::free_pages)
      .def("stats", [](const Engine& self) { return dict_of(self.stats()); })
      .def("encode", [](const Engine& self,
                        const std::string& text) { return tokenizer_of(self).encode(text); })
      .def("decode", [](const Engine& self,
                        const std::vector<int32_t>& ids) { return tokenizer_of(self).decode(ids); })
      .def("config", [](const Engine& self) {
        nb::dict d;
        d["strategy"] = self.config().strategy;
        d["dtype"] = *self.config().dtype == DType::kBF16 ? "bfloat16" : "float32";
        d["page_size"] = self.config().page_size;
        d["num_pages"] = self.config().num_pages;
        d["max_model_len"] = self.config().max_model_len;
        d["eos_token_ids"] = *self.config().eos_token_ids;
        d["vocab_size"] = self.model().config().vocab_size;
        return d;
      });
  m.def("strategies", [] { return engine::strategies().requests.names(); });
}

}  // namespace attend::python
