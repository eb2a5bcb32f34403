// attend generate: text from a checkpoint, streamed; many prompts at once; what it took.
#include <cstdio>
#include <fstream>
#include <iostream>

#include "strategies/engine/engine.h"
#include "tools/attend/command.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

using engine::Completion;
using engine::Engine;
using engine::EngineConfig;
using engine::EngineStats;
using engine::SamplingParams;

struct Flags {
  EngineConfig config;
  SamplingParams params;
  std::vector<std::string> prompts, prompt_ids;
  std::string prompts_file, dtype;
  std::optional<std::string> device;
  std::optional<int64_t> seed;
  bool no_prefix_caching = false, stats = false;
};

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  const bool is_input = path == "-";
  if (!is_input && !file)
    throw Error(ErrorCode::kInvalidArgument,
                "--prompts-file " + printable(path) + " cannot be read, expected a file of lines");
  std::vector<std::string> lines;
  for (std::string line; std::getline(is_input ? std::cin : file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

std::vector<int32_t> ids_of(const std::string& text) {
  std::vector<int32_t> ids;
  for (const std::string& word : split(text, ',')) {
    size_t end = 0;
    int64_t id = -1;
    try {
      id = std::stoll(word, &end);
    } catch (const std::exception&) {
      end = std::string::npos;
    }
    if (end != word.size() || id < 0 || id > INT32_MAX)
      throw Error(ErrorCode::kInvalidArgument, "--prompt-ids is '" + printable(text) +
                                                   "', expected token ids with commas: 1,15,7");
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

std::string join_ids(const std::vector<int32_t>& ids) {
  std::vector<std::string> words;
  for (const int32_t id : ids) words.push_back(std::to_string(id));
  return join(words, ",");
}

double per_second(int64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

Json stats_json(const Engine& engine, const std::vector<Completion>& completions) {
  const EngineStats s = engine.stats();
  double first = 0;
  int64_t begun = 0;
  for (const Completion& c : completions)
    if (!c.token_ids.empty()) first += c.seconds_to_first_token, ++begun;
  return {{"strategy", engine.config().strategy},
          {"dtype", name(*engine.config().dtype)},
          {"prompt_tokens", s.prompt_tokens},
          {"response_tokens", s.response_tokens},
          {"tokens_per_second", per_second(s.response_tokens, s.step_seconds)},
          {"tokens_per_forward", per_second(s.response_tokens, static_cast<double>(s.steps))},
          {"seconds_to_first_token", begun > 0 ? first / static_cast<double>(begun) : 0},
          {"seconds", s.step_seconds},
          {"model_seconds", s.model_seconds},
          {"product_seconds", s.product_seconds},
          {"operator_seconds", s.operator_seconds},
          {"forwards", s.steps},
          {"rows", s.rows},
          {"kv_pages", s.kv_pages},
          {"kv_pages_peak", s.kv_pages_peak},
          {"kv_page_size", engine.config().page_size},
          {"prefix_hit_tokens", s.shared_tokens},
          {"preemptions", s.preemptions}};
}

void print_stats(const Json& s) {
  const auto line = [&](const char* text, const std::string& value) {
    std::fprintf(stderr, "%-26s %s\n", text, value.c_str());
  };
  const auto count = [&](const char* field) { return std::to_string(s[field].get<int64_t>()); };
  line("strategy, dtype", s["strategy"].get<std::string>() + ", " + s["dtype"].get<std::string>());
  line("tokens", count("prompt_tokens") + " prompt, " + count("response_tokens") + " response, " +
                     count("prefix_hit_tokens") + " found in the prefix cache");
  line("tokens per second", number(s["tokens_per_second"]));
  line("tokens per forward", number(s["tokens_per_forward"]));
  const auto share = [&](const char* field) {
    const double all = s["seconds"], part = s[field];
    return number(all > 0 ? 100 * part / all : 0, 2) + " %";
  };
  line("time in",
       "products " + share("product_seconds") + ", attention " + share("operator_seconds"));
  line("time to first token", number(s["seconds_to_first_token"].get<double>() * 1e3) + " ms");
  line("KV pages", count("kv_pages_peak") + " of " + count("kv_pages") + " at most, " +
                       count("kv_page_size") + " tokens each; " + count("preemptions") +
                       " preemptions");
}

Json completion_json(const Completion& c, const std::string* prompt) {
  Json json;
  if (prompt != nullptr) json["prompt"] = *prompt;
  json["prompt_ids"] = c.prompt_ids;
  json["token_ids"] = c.token_ids;
  json["text"] = c.text;
  json["finish_reason"] = engine::name(c.finish_reason);
  if (!c.error.empty()) json["error"] = c.error;
  for (const engine::TokenLogprob& t : c.logprobs) {
    Json top = Json::array();
    for (const auto& [id, logprob] : t.top) top.push_back({{"id", id}, {"logprob", logprob}});
    json["logprobs"].push_back({{"id", t.id}, {"logprob", t.logprob}, {"top", top}});
  }
  return json;
}

// Streams the only response there is.
void stream(const engine::Progress& progress) {
  std::fwrite(progress.text.data(), 1, progress.text.size(), stdout);
  std::fflush(stdout);
}

void generate(const Flags& flags, Shared& shared) {
  std::vector<std::string> prompts = flags.prompts;
  if (!flags.prompts_file.empty())
    for (std::string& line : lines_of(flags.prompts_file)) prompts.push_back(std::move(line));
  if (prompts.empty() && flags.prompt_ids.empty())
    throw Error(ErrorCode::kInvalidArgument,
                "there is no prompt, expected --prompt, --prompts-file or --prompt-ids");
  Engine engine(flags.config);
  const bool streams = !shared.json && prompts.size() + flags.prompt_ids.size() == 1;
  std::vector<int64_t> ids;
  for (const std::string& prompt : prompts)
    ids.push_back(engine.add(prompt, flags.params, streams ? stream : engine::OnProgress()));
  for (const std::string& text : flags.prompt_ids)
    ids.push_back(engine.add(ids_of(text), flags.params, streams ? stream : engine::OnProgress()));
  while (engine.step()) {
  }
  std::vector<Completion> completions;
  for (const int64_t id : ids) completions.push_back(engine.take(id));

  Json json;
  for (size_t i = 0; i < completions.size(); ++i) {
    const Completion& c = completions[i];
    if (c.finish_reason == engine::FinishReason::kError) shared.exit_status = 1;
    json["completions"].push_back(completion_json(c, i < prompts.size() ? &prompts[i] : nullptr));
    if (shared.json) continue;
    if (!c.error.empty()) std::fprintf(stderr, "attend generate: %s\n", one_line(c.error).c_str());
    if (streams) {
      if (engine.tokenizer() == nullptr) std::printf("%s", join_ids(c.token_ids).c_str());
      std::printf("\n");
    } else {
      std::printf(
          "[%zu] %s\n", i,
          engine.tokenizer() != nullptr ? one_line(c.text).c_str() : join_ids(c.token_ids).c_str());
    }
  }
  json["stats"] = stats_json(engine, completions);
  if (shared.json) print_json(json);
  if (flags.stats && !shared.json) print_stats(json["stats"]);
}

}  // namespace

void add_generate(CLI::App& app, Shared& shared) {
  auto flags = std::make_shared<Flags>();
  CLI::App& command =
      *app.add_subcommand("generate", "text from a checkpoint, by any decoding strategy");
  add_shared_flags(command, shared, true);
  EngineConfig& c = flags->config;
  c.strategy = "auto_regressive";
  SamplingParams& p = flags->params;
  command.add_option("--model", c.model, "folder with config.json, weights and tokenizer.json")
      ->required();
  command.add_option("--prompt", flags->prompts, "text; may be given several times");
  command.add_option("--prompts-file", flags->prompts_file, "a prompt a line; - = stdin");
  command.add_option("--prompt-ids", flags->prompt_ids,
                     "token ids with commas; needs no tokenizer");
  command.add_option("--strategy", c.strategy, "how tokens are decided")->capture_default_str();
  add_device_flag(command, flags->device);
  command
      .add_option("--dtype", flags->dtype, "f32 or bf16, of products and KV; default: by the model")
      ->check(CLI::IsMember({"f32", "bf16"}));

  command.add_option("--max-tokens", p.max_tokens, "of a response")->capture_default_str();
  command.add_option("--temperature", p.temperature, "0 = greedy")->default_val(0.0f);
  command.add_option("--top-k", p.top_k, "0 = off")->capture_default_str();
  command.add_option("--top-p", p.top_p)->capture_default_str();
  command.add_option("--min-p", p.min_p)->capture_default_str();
  command.add_option("--repetition-penalty", p.repetition_penalty)->capture_default_str();
  command.add_option("--seed", flags->seed, "of draws; default: the prompt's number");
  command.add_option("--stop", p.stop, "text that ends a response; may be given several times");
  command.add_option("--stop-ids", p.stop_token_ids, "token ids that do")->delimiter(',');
  command.add_flag("--ignore-eos", p.ignore_eos, "go on after the model's end of text");
  command.add_option("--logprobs", p.logprobs,
                     "with --json: of each token and so many of the likeliest");

  command.add_option("--page-size", c.page_size, "tokens of a KV page")->capture_default_str();
  command.add_option("--num-pages", c.num_pages, "0 = what 1 GiB holds")->capture_default_str();
  command.add_option("--max-num-reqs", c.max_num_reqs, "at once")->capture_default_str();
  command.add_option("--max-num-batched-tokens", c.max_num_batched_tokens, "rows of a forward")
      ->capture_default_str();
  command.add_option("--max-model-len", c.max_model_len, "tokens of prompt and response");
  command.add_flag("--no-prefix-caching", flags->no_prefix_caching);
  command.add_flag("--batch-invariant", c.batch_invariant,
                   "a response does not depend on what runs beside it, in bf16, too");
  command.add_flag("--stats", flags->stats, "what it took, on stderr");
  command.callback([flags, &shared] {
    flags->config.device = device_from(flags->device);
    flags->config.prefix_caching = !flags->no_prefix_caching;
    if (!flags->dtype.empty())
      flags->config.dtype = flags->dtype == "f32" ? DType::kF32 : DType::kBF16;
    if (flags->seed) flags->params.seed = static_cast<uint64_t>(*flags->seed);
    generate(*flags, shared);
  });
}

}  // namespace attend::cli
