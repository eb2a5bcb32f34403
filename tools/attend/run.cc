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
#include "tools/attend/devices.h"
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
  OutputFiles(const std::string& path, const NamedTensors& tensors) {
    if (path.empty()) return;
    const std::filesystem::path p(path);
    if (p.extension() == ".safetensors") {
      files_.push_back(std::make_unique<OutputFile>(path));
    } else if (p.extension() == ".npy") {
      for (const auto& [name, view] : tensors) {
        refuse_npy(path, view.dtype);
        const bool first = name == tensors[0].first;
        const auto own = first ? p : p.parent_path() / (p.stem().string() + "." + name + ".npy");
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

// What only calls of attention have: --weights-svg.
class Map {
 public:
  Map(const RunFlags& flags, const Call& call) : flags_(flags) {
    if (flags.weights_svg.empty()) return;
    const auto within = [](const char* flag, int64_t value, int64_t count) {
      if (value < 0 || value >= count)
        throw Error(ErrorCode::kOutOfRange, std::string("--") + flag + " is " +
                                                std::to_string(value) + ", expected 0 <= " + flag +
                                                " < " + std::to_string(count));
    };
    within("batch", flags.batch, call.args.weights.dim(0));
    within("head", flags.head, call.args.weights.dim(1));
    file_.emplace(flags.weights_svg);
  }
  template <class C>
  Map(const RunFlags& flags, const C&) : flags_(flags) {
    if (!flags.weights_svg.empty())
      throw Error(ErrorCode::kInvalidArgument, flags.op +
                                                   ": --weights-svg is given, expected it "
                                                   "with vanilla alone");
  }
  void write(const Call& call, const std::string& kernel) {
    if (file_) write_map(*file_, flags_, call, kernel);
  }
  template <class C>
  void write(const C&, const std::string&) {}

 private:
  const RunFlags& flags_;
  std::optional<OutputFile> file_;
};

Outputs outputs_of(const RunFlags& flags) {
  Outputs outputs;
  outputs.lse = flags.lse;
  outputs.weights = flags.weights || !flags.weights_svg.empty();
  outputs.scores = !flags.scores.empty();
  if (flags.call.out_dtype) outputs.out_dtype = dtype_from(*flags.call.out_dtype);
  return outputs;
}

// Flags that ask for what an operator does not have.
void refuse_outputs(OpId id, const Outputs& outputs) {
  const bool attention = id != OpId::kGdn && id != OpId::kMerge && id != OpId::kAppend;
  const auto refuse = [&](const char* flag, bool given) {
    if (given)
      throw Error(ErrorCode::kUnsupported, std::string(name(id)) + ": " + flag +
                                               " is given, expected it with an operator that has "
                                               "scores");
  };
  refuse("--lse", outputs.lse && !attention && id != OpId::kMerge);
  refuse("--weights", outputs.weights && !attention);
  refuse("--scores", outputs.scores && !attention);
  if (outputs.out_dtype && id == OpId::kAppend)
    throw Error(ErrorCode::kUnsupported,
                "append: --out-dtype is given, expected none, as append has no out");
}

void set_scores_stage(Call& call, const std::string& stage) {
  if (stage.empty()) return;
  word<AttentionArgs, AttentionParams>("run", "scores_stage")
      .set("run", call.args, call.params, std::string_view(stage));
}
template <class C>
void set_scores_stage(C&, const std::string&) {}

void print(const Shared& shared, const NamedTensors& tensors, const std::string& title,
           const std::vector<std::string>& inputs, const std::vector<std::string>& notes,
           const RunResult& result, const Timing& timing, Device device,
           const std::vector<std::string>& written) {
  if (shared.json) {
    Json json = {{"kernel", result.kernel}, {"note", result.note}, {"device", device_text(device)}};
    json["inputs"] = inputs;
    json["notes"] = notes;
    json["seconds"] = {{"median", timing.median}, {"best", timing.best}, {"runs", timing.runs}};
    for (const auto& [label, view] : tensors) {
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
  if (!title.empty()) std::printf("%s\n", printable(title).c_str());
  for (const std::string& line : inputs) std::printf("  %s\n", line.c_str());
  for (const std::string& note : notes) std::printf("  (%s)\n", note.c_str());
  std::printf("\nkernel  %s%s%s\n", kernel_text(result.kernel, device.type).c_str(),
              *result.note ? ": " : "", result.note);
  if (device.type != DeviceType::kNative) std::printf("device  %s\n", device_text(device).c_str());
  if (timing.runs > 0)
    std::printf("time    %s (median of %d, best %s)\n", duration(timing.median).c_str(),
                timing.runs, duration(timing.best).c_str());
  std::puts("");
  Table table({"output", "tensor", ">mean", ">rms", ">min", ">max", ">NaN", ">inf"});
  for (const auto& [label, view] : tensors) {
    const Summary s = summarise(view);
    table.row({label, shape_text(view), number(s.mean), number(s.rms), number(s.least),
               number(s.most), std::to_string(s.nan), std::to_string(s.infinite)});
  }
  std::fputs(table.text().c_str(), stdout);
  for (const std::string& path : written) std::printf("wrote %s\n", path.c_str());
}

// A call of any operator. Results are kept before the timed runs, which change again what is changed
// in place.
template <class C, class Op>
void run_op(const Op& op, const RunFlags& flags, const Shared& shared) {
  const Outputs outputs = outputs_of(flags);
  refuse_outputs(op.id(), outputs);
  std::vector<std::string> notes;
  C call = load_call<C>(op.id(), flags.call, prefix_of(flags.call, notes));
  call.notes.insert(call.notes.begin(), notes.begin(), notes.end());
  set_scores_stage(call, flags.scores);
  add_outputs(op.id(), call, outputs);
  const Device device = device_from(flags.device);
  if (device.type != DeviceType::kNative)
    Registry::global().backend(device.type);  // the plugin, or what to do
  C there = on_device(call, device);
  ExecContext context;
  context.device = device;
  context.check_indices = CheckIndices::kOn;
  const auto call_once = [&] {
    const RunResult did = flags.kernel.empty()
                              ? op.forward_on(device.type, there.args, there.params, context)
                              : op.run_kernel(flags.kernel, there.args, there.params, context);
    if (device.type != DeviceType::kNative) context.check();  // waits for it, too
    return did;
  };
  op.explain(there.args, there.params,
             device);  // the operator's checks, before any file is touched
  Map map(flags, call);
  OutputFiles files(flags.out, written_by(call));

  Progress progress("attend run", 1 + std::max(flags.repeat, 0), shared.progress);
  progress.step(name(op.id()));
  const RunResult result = call_once();
  bring_back(there, call);
  std::map<std::string, std::string> metadata = {{"kernel", result.kernel},
                                                 {"operator", name(op.id())}};
  if (!call.title.empty()) metadata["input"] = printable(call.title);
  std::vector<std::string> written = files.write(written_by(call), metadata);
  if (!flags.weights_svg.empty()) {
    map.write(call, result.kernel);
    written.push_back(flags.weights_svg);
  }
  std::vector<Tensor> kept;
  NamedTensors results;
  for (const auto& [label, view] : written_by(call)) {
    kept.push_back(Tensor::adopt(view, nullptr, [](void*) {}).to(Device{}));
    results.emplace_back(label, kept.back().view());
  }
  Timing timing;
  if (flags.repeat > 0)
    timing = measure(
        [&] {
          progress.step(name(op.id()));
          call_once();
        },
        1.0, flags.repeat);
  print(shared, results, call.title, describe(call), call.notes, result, timing, device, written);
}

void run(const RunFlags& flags, const Shared& shared) {
  const OpId id = op_from_name(flags.op);
  if (id == OpId::kGdn) return run_op<GdnCall>(GatedDeltaNet(), flags, shared);
  if (id == OpId::kMerge) return run_op<MergeCall>(MergePartials(), flags, shared);
  run_op<Call>(attention_op(id), flags, shared);
}

}  // namespace

void add_run(CLI::App& app, Shared& shared) {
  static RunFlags flags;
  CLI::App* command = app.add_subcommand("run", "run an operator on .safetensors or .npy files");
  command->add_option("OP", flags.op, "vanilla, flash, paged, gdn, ... (attend info lists them)")
      ->required();
  command->add_option(
      "FILE,--input", flags.call.input,
      "a .safetensors file that holds q, k, v (or query, key, value) and words of the operator");
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
  add_call_flags(*command, flags.call, FlagSet::kEvery);
  command->callback([&shared] { run(flags, shared); });
}

}  // namespace attend::cli
