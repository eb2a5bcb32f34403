// attend run OP: one call on tensors of files.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "attend/error.h"
#include "attend/operator.h"
#include "ops/common/layout.h"
#include "tools/attend/call.h"
#include "tools/attend/command.h"
#include "tools/attend/convert.h"
#include "tools/attend/elapsed.h"
#include "tools/attend/formats/output_file.h"
#include "tools/attend/picture/attention_map.h"
#include "tools/attend/progress.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

struct RunFlags {
  CallFlags call;
  std::string op, kernel, out, weights_svg, scores;
  std::optional<std::string> device;
  bool lse = false, weights = false;
  int repeat = 5;
  int64_t batch = 0, head = 0;
};

// Which call of the input file.
std::string prefix_of(const CallFlags& flags, std::vector<std::string>& notes) {
  if (flags.prefix || flags.input.empty()) return flags.prefix.value_or("");
  const auto found = prefixes(TensorFile(flags.input));
  if (found.size() > 1)
    notes.push_back("the first of " + printable(join(found)) + "; choose with --prefix");
  return found.empty() ? "" : found[0];
}

// The files that the outputs go to: one for .safetensors, one for each tensor for .npy.
class OutputFiles {
 public:
  OutputFiles(const std::string& path, const Call& call, const NamedTensors& tensors) {
    if (path.empty()) return;
    const std::filesystem::path p(path);
    if (p.extension() == ".safetensors") {
      files_.push_back(std::make_unique<OutputFile>(path));
    } else if (p.extension() == ".npy") {
      refuse_npy(path, call.args.out.dtype);
      for (const auto& [name, view] : tensors) {
        const auto own =
            name == "out" ? p : p.parent_path() / (p.stem().string() + "." + name + ".npy");
        files_.push_back(std::make_unique<OutputFile>(own.string()));
      }
    } else {
      refuse_file(path, "kind of file is unknown, expected a name in .safetensors or .npy");
    }
  }
  std::vector<std::string> write(const NamedTensors& tensors,
                                 const std::map<std::string, std::string>& metadata) {
    std::vector<std::string> written;
    if (files_.size() == 1 && files_[0]->path().ends_with(".safetensors")) {
      write_safetensors(*files_[0], tensors, metadata);
    } else {
      for (size_t i = 0; i < files_.size(); ++i) write_npy(*files_[i], tensors[i].second);
    }
    for (auto& file : files_) {
      file->commit();
      written.push_back(file->path());
    }
    return written;
  }

 private:
  std::vector<std::unique_ptr<OutputFile>> files_;
};

NamedTensors outputs_of(const Call& call) {
  NamedTensors list = {{"out", call.args.out}};
  if (call.args.lse) list.emplace_back("lse", call.args.lse);
  if (call.args.weights) list.emplace_back("weights", call.args.weights);
  if (call.args.scores) list.emplace_back("scores", call.args.scores);
  return list;
}

void write_map(OutputFile& file, const RunFlags& flags, const Call& call,
               const std::string& kernel) {
  const Sequence s =
      sequence(call.args, resolved(op_from_name(flags.op), call.params), flags.batch);
  AttentionMap map;
  map.weights = call.args.weights;
  map.batch = flags.batch;
  map.head = flags.head;
  map.rows = s.q_len;
  map.keys = s.k_len;
  map.title = "Attention weights" + (call.title.empty() ? "" : ", " + call.title);
  map.subtitle = "batch " + std::to_string(flags.batch) + ", head " + std::to_string(flags.head) +
                 ", " + std::to_string(s.q_len) + " rows x " + std::to_string(s.k_len) +
                 " keys, q " + shape_text(call.args.q) + ", " + kernel;
  file.write(attention_map_svg(map));
  file.commit();
}

void run(const RunFlags& flags, const Shared& shared) {
  const OpId id = op_from_name(flags.op);
  const AttentionOp& op = attention_op(id);
  std::vector<std::string> notes;
  Call call = load_call(flags.call, prefix_of(flags.call, notes));
  call.notes.insert(call.notes.begin(), notes.begin(), notes.end());

  Outputs outputs;
  outputs.lse = flags.lse;
  outputs.weights = flags.weights || !flags.weights_svg.empty();
  outputs.scores = !flags.scores.empty();
  if (flags.call.out_dtype) outputs.out_dtype = dtype_from(*flags.call.out_dtype);
  if (outputs.scores)
    call.params.scores_stage = flags.scores == "scaled"   ? ScoresStage::kScaled
                               : flags.scores == "capped" ? ScoresStage::kCapped
                                                          : ScoresStage::kMasked;
  add_outputs(call, outputs);
  const Device device = device_from(flags.device);
  if (device.type != DeviceType::kNative)
    Registry::global().backend(device.type);  // the plugin, or what to do
  Call there = on_device(call, device);
  const auto call_once = [&] {
    return flags.kernel.empty() ? op.forward_on(device.type, there.args, there.params)
                                : op.run_kernel(flags.kernel, there.args, there.params);
  };
  op.explain(there.args, there.params,
             device);  // the operator's checks, before any file is touched
  if (!flags.weights_svg.empty()) {
    const int64_t batch = call.args.weights.dim(0), heads = call.args.weights.dim(1);
    if (flags.batch < 0 || flags.batch >= batch)
      throw Error(ErrorCode::kOutOfRange, "--batch is " + std::to_string(flags.batch) +
                                              ", expected 0 <= batch < " + std::to_string(batch));
    if (flags.head < 0 || flags.head >= heads)
      throw Error(ErrorCode::kOutOfRange, "--head is " + std::to_string(flags.head) +
                                              ", expected 0 <= head < " + std::to_string(heads));
  }
  OutputFiles files(flags.out, call, outputs_of(call));
  std::optional<OutputFile> map;
  if (!flags.weights_svg.empty()) map.emplace(flags.weights_svg);

  RunResult result;
  Timing timing;
  Progress progress("attend run", 1 + std::max(flags.repeat, 0), shared.progress);
  progress.step(name(id));
  result = call_once();
  if (flags.repeat > 0)
    timing = measure(
        [&] {
          progress.step(name(id));
          result = call_once();
        },
        1.0, flags.repeat);
  bring_back(there, call);

  std::map<std::string, std::string> metadata = {{"kernel", result.kernel}, {"operator", name(id)}};
  if (!call.title.empty()) metadata["input"] = printable(call.title);
  std::vector<std::string> written = files.write(outputs_of(call), metadata);
  if (map) {
    write_map(*map, flags, call, result.kernel);
    written.push_back(flags.weights_svg);
  }

  if (shared.json) {
    Json json = {{"kernel", result.kernel}, {"note", result.note}, {"device", to_string(device)}};
    json["inputs"] = describe(call);
    json["notes"] = call.notes;
    json["seconds"] = {{"median", timing.median}, {"best", timing.best}, {"runs", timing.runs}};
    for (const auto& [label, view] : outputs_of(call)) {
      const Summary s = summarise(view);
      json["outputs"][label] = {{"tensor", shape_text(view)},
                                {"mean", s.mean},
                                {"rms", s.rms},
                                {"min", s.least},
                                {"max", s.most},
                                {"nan", s.nan},
                                {"infinite", s.infinite}};
    }
    json["written"] = written;
    return print_json(json);
  }
  if (!call.title.empty()) std::printf("%s\n", printable(call.title).c_str());
  for (const std::string& line : describe(call)) std::printf("  %s\n", line.c_str());
  for (const std::string& note : call.notes) std::printf("  (%s)\n", note.c_str());
  std::printf("\nkernel  %s%s%s\n", result.kernel, *result.note ? ": " : "", result.note);
  if (timing.runs > 0)
    std::printf("time    %s (median of %d, best %s)\n", duration(timing.median).c_str(),
                timing.runs, duration(timing.best).c_str());
  std::puts("");
  Table table({"output", "tensor", ">mean", ">rms", ">min", ">max", ">NaN", ">inf"});
  for (const auto& [label, view] : outputs_of(call)) {
    const Summary s = summarise(view);
    table.row({label, shape_text(view), number(s.mean), number(s.rms), number(s.least),
               number(s.most), std::to_string(s.nan), std::to_string(s.infinite)});
  }
  std::fputs(table.text().c_str(), stdout);
  for (const std::string& path : written) std::printf("wrote %s\n", path.c_str());
}

}  // namespace

void add_run(CLI::App& app, Shared& shared) {
  static RunFlags flags;
  CLI::App* command = app.add_subcommand("run", "run an operator on .safetensors or .npy files");
  command->add_option("OP", flags.op, "vanilla, flash, ... (attend info lists them)")->required();
  command->add_option(
      "FILE,--input", flags.call.input,
      "a .safetensors file that holds q, k, v (or query, key, value) and words of the contract");
  command->add_option(
      "--out", flags.out,
      "write the outputs: .safetensors, or .npy (further outputs to NAME.lse.npy, ...)");
  command->add_flag("--lse", flags.lse, "also compute the logarithm of the softmax's sum");
  command->add_flag("--weights", flags.weights, "also hand out what multiplied v (vanilla)");
  command->add_option("--scores", flags.scores, "also hand out the scores at this stage (vanilla)")
      ->check(CLI::IsMember({"scaled", "capped", "masked"}));
  command->add_option("--weights-svg", flags.weights_svg,
                      "draw the attention map of --batch and --head (vanilla)");
  command->add_option("--batch", flags.batch, "sequence of --weights-svg");
  command->add_option("--head", flags.head, "query head of --weights-svg");
  command->add_option("--kernel", flags.kernel, "run this row, as attend info names it");
  command
      ->add_option("--repeat", flags.repeat,
                   "timed runs after the first, at most one second of them")
      ->check(CLI::Range(0, 1000000));
  add_device_flag(*command, flags.device);
  add_shared_flags(*command, shared, true);
  add_call_flags(*command, flags.call, true);
  command->callback([&shared] { run(flags, shared); });
}

}  // namespace attend::cli
