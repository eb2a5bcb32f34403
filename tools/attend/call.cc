#include "tools/attend/call.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "attend/error.h"
#include "ops/common/layout.h"
#include "tests/support/element.h"
#include "tools/attend/convert.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, what);
}

// Whether a word's value names a file rather than a list of numbers.
bool is_file(const std::string& text) {
  return text.ends_with(".npy") || text.find(".safetensors") != std::string::npos;
}

template <class T>
std::vector<T> numbers(const std::string& word, const std::string& text) {
  std::vector<T> values;
  if (text.empty()) return values;
  for (std::string item : split(text, ',')) {
    item.erase(0, item.find_first_not_of(' '));
    item.erase(item.find_last_not_of(' ') + 1);
    T value{};
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), value);
    if (error != std::errc() || end != item.data() + item.size())
      refuse(word + " holds '" + item + "', expected " +
             (std::is_integral_v<T> ? "whole numbers" : "numbers") + " with commas between them");
    values.push_back(value);
  }
  return values;
}

template <class T>
Tensor tensor_of(const std::vector<T>& values, std::vector<int64_t> shape) {
  Tensor t = Tensor::empty(std::is_integral_v<T> ? DType::kI64 : DType::kF32, shape);
  for (size_t i = 0; i < values.size(); ++i) t.data<T>()[i] = values[i];
  return t;
}

Tensor segments_of(const std::string& word, const std::string& text, bool ragged) {
  std::vector<int64_t> all;
  const auto rows = split(text, ';');
  for (const std::string& row : rows) {
    const auto ids = numbers<int64_t>(word, row);
    if (&row != &rows[0] && ids.size() != all.size() / static_cast<size_t>(&row - rows.data()))
      refuse(word + " has rows of different lengths, expected one length");
    all.insert(all.end(), ids.begin(), ids.end());
  }
  const auto n = static_cast<int64_t>(all.size()), count = static_cast<int64_t>(rows.size());
  return tensor_of(all, ragged ? std::vector<int64_t>{n} : std::vector<int64_t>{count, n / count});
}

// Names that a tensor may have in a file.
std::vector<std::string> roles(const std::string& word) {
  if (word == "q") return {"q", "query"};
  if (word == "k") return {"k", "key"};
  if (word == "v") return {"v", "value"};
  return {word};
}

const std::string* find_name(const TensorFile& file, const std::string& prefix,
                             const std::string& word, std::string& name) {
  for (const std::string& role : roles(word)) {
    for (const std::string& p : {prefix, std::string()}) {
      name = p + role;
      if (file.has(name)) return &name;
      if (roles(word).size() > 1) break;  // q, k, v belong to their prefix alone
    }
  }
  return nullptr;
}

// keep [batch, seqlen_k] of a file: a padding mask, which the contract wants as [batch, 1, 1, seqlen_k].
void read_padding_mask(Call& call) {
  TensorView& keep = call.params.mask.keep;
  const TensorView &q = call.args.q, &k = call.args.k;
  if (keep.rank != 2 || q.rank != 4 || k.rank != 4) return;
  const bool right_aligned = (keep.dim(0) == 1 || keep.dim(0) == q.dim(1)) &&
                             (keep.dim(1) == 1 || keep.dim(1) == k.dim(1));
  const bool padding = keep.dim(0) == q.dim(0) && keep.dim(1) == k.dim(1);
  if (!padding || keep.dim(0) == 1) return;
  if (right_aligned)
    refuse("keep shape is " + shape_text(keep) +
           ", which may be [seqlen_q, seqlen_k] or [batch, seqlen_k]; store it with rank 4");
  const TensorView flat = keep;
  keep.rank = 4;
  keep.shape = {flat.dim(0), 1, 1, flat.dim(1)};
  keep.stride = {flat.step(0), 0, 0, flat.step(1)};
  call.notes.push_back("keep " + shape_text(flat) +
                       " is read as [batch, 1, 1, seqlen_k]: keys that count");
}

}  // namespace

TensorView Call::own(Tensor tensor) {
  owned.push_back(std::make_shared<Tensor>(std::move(tensor)));
  return owned.back()->view();
}

TensorRef tensor_ref(const std::string& text) {
  const char* end = ".safetensors:";
  const size_t at = text.find(end);
  if (at != std::string::npos && !std::filesystem::exists(text))
    return {text.substr(0, at + std::strlen(end) - 1), text.substr(at + std::strlen(end))};
  return {text, ""};
}

Tensor load_ref(const std::string& text, const std::string& role, std::optional<DType> as) {
  const TensorRef ref = tensor_ref(text);
  const TensorFile file(ref.path);
  if (!file.named() || !ref.name.empty()) return file.read(ref.name, as);
  if (file.names().size() == 1) return file.read(file.names()[0], as);
  for (const std::string& name : roles(role))
    if (file.has(name)) return file.read(name, as);
  refuse_file(ref.path, "holds " + std::to_string(file.names().size()) +
                            " tensors, expected the name of one; write FILE:NAME with " +
                            printable(join(file.names())));
}

std::vector<std::string> prefixes(const TensorFile& file) {
  std::vector<std::string> found;
  for (const std::string& name : file.names()) {
    for (const char* role : {"query", "q"}) {
      if (!name.ends_with(role)) continue;
      const std::string prefix = name.substr(0, name.size() - std::strlen(role));
      const bool separate =
          prefix.empty() || std::string_view("._/-").find(prefix.back()) != std::string_view::npos;
      const bool whole = (file.has(prefix + "key") && file.has(prefix + "value")) ||
                         (file.has(prefix + "k") && file.has(prefix + "v"));
      if (separate && whole) found.push_back(prefix);
      break;
    }
  }
  return found;
}

void load_words(Call& call, const CallFlags& flags, const TensorFile* file,
                const std::string& prefix) {
  const std::optional<DType> as =
      flags.dtype ? std::optional(dtype_from(*flags.dtype)) : std::nullopt;
  const bool ragged = flags.tensors.count("cu_seqlens_q") != 0;
  for (const Word& word : words()) {
    TensorView& view = *word.at(call.args, call.params);
    const auto given = flags.tensors.find(word.name);
    std::string name;
    if (given == flags.tensors.end()) {
      const bool from_file = word.kind != WordKind::kValues || std::strlen(word.name) == 1;
      if (file != nullptr && from_file && find_name(*file, prefix, word.name, name))
        view = call.own(file->read(name, as));
      continue;
    }
    const std::string& text = given->second;
    if (is_file(text) || word.kind == WordKind::kValues || word.kind == WordKind::kBroadcast) {
      view = call.own(load_ref(text, word.name, as));
      continue;
    }
    if (word.kind == WordKind::kSegments) {
      view = call.own(segments_of(word.name, text, ragged));
      if (!ragged && view.dim(0) == 1) call.single.insert(word.name);
    } else if (word.kind == WordKind::kFloats) {
      const auto values = numbers<float>(word.name, text);
      view = call.own(tensor_of(values, {static_cast<int64_t>(values.size())}));
    } else {
      const auto values = numbers<int64_t>(word.name, text);
      view = call.own(tensor_of(values, {static_cast<int64_t>(values.size())}));
      if (word.kind == WordKind::kIndex && values.size() == 1) call.single.insert(word.name);
    }
  }
}

void spread_single(Call& call, int64_t batch) {
  for (const Word& word : words()) {
    TensorView& view = *word.at(call.args, call.params);
    if (call.single.count(word.name) == 0 || view.rank == 0) continue;
    view.shape[0] = batch;
    view.stride[0] = 0;
  }
}

Call load_call(const CallFlags& flags, const std::string& prefix) {
  Call call;
  call.params = flags.params;
  call.args.seq.max_seqlen_q = flags.max_seqlen_q;
  call.args.seq.max_seqlen_k = flags.max_seqlen_k;
  std::optional<TensorFile> file;
  if (!flags.input.empty()) {
    file.emplace(flags.input);
    if (!file->named())
      refuse_file(flags.input,
                  "is one tensor, expected a .safetensors file with q, k and v; use --q, --k, --v");
    call.title =
        (prefix.empty() ? "" : prefix.substr(0, prefix.find_last_not_of("._/-") + 1) + " of ") +
        std::filesystem::path(flags.input).filename().string();
  }
  load_words(call, flags, file ? &*file : nullptr, prefix);
  for (const char* word : {"q", "k", "v"}) {
    const TensorView& view = word[0] == 'q'   ? call.args.q
                             : word[0] == 'k' ? call.args.k
                                              : call.args.v;
    if (view) continue;
    if (file)
      refuse_file(flags.input, "tensor is '" + printable(prefix + word) +
                                   "' of which there is none, expected one of " +
                                   printable(join(file->names())));
    refuse(std::string(word) + " is absent, expected --" + word + " FILE[:NAME] or --input FILE");
  }
  if (flags.dtype) call = with_dtype(call, dtype_from(*flags.dtype));
  const bool ragged = static_cast<bool>(call.args.seq.cu_seqlens_q);
  spread_single(call, ragged ? call.args.seq.cu_seqlens_q.dim(0) - 1 : call.args.q.dim(0));
  if (flags.tensors.count("keep") == 0) read_padding_mask(call);
  if (file) {
    for (const char* role : {"out", "output"}) {
      if (!file->has(prefix + role)) continue;
      call.expected_name = prefix + role;
      call.expected = call.own(file->read(call.expected_name));
    }
  }
  return call;
}

Call with_dtype(const Call& call, DType dtype) {
  Call result = call;
  for (TensorView* view : {&result.args.q, &result.args.k, &result.args.v}) {
    for (const auto& tensor : call.owned) {
      if (tensor->view().data != view->data || view->dtype == dtype || !*view) continue;
      *view = result.own(convert(*tensor, dtype));
      break;
    }
  }
  return result;
}

void add_outputs(Call& call, const Outputs& outputs) {
  AttentionArgs& a = call.args;
  const bool ragged = static_cast<bool>(a.seq.cu_seqlens_q);
  const int rank = ragged ? 3 : 4;
  if (a.v.rank < 1 || a.q.rank < 1) return;
  std::vector<int64_t> shape(a.q.shape.begin(), a.q.shape.begin() + a.q.rank);
  shape.back() = a.v.dim(-1);
  a.out = call.own(Tensor::empty(outputs.out_dtype.value_or(a.q.dtype), shape));
  if (a.q.rank != rank || a.k.rank != rank) return;
  const int64_t heads = a.q.dim(-2);
  if (outputs.lse) {
    a.lse = call.own(ragged ? Tensor::empty(DType::kF32, {heads, a.q.dim(0)})
                            : Tensor::empty(DType::kF32, {a.q.dim(0), heads, a.q.dim(1)}));
  }
  if (outputs.weights || outputs.scores) {
    int64_t batch = a.q.dim(0), most_q = ragged ? a.seq.max_seqlen_q : a.q.dim(1),
            most_k = ragged ? a.seq.max_seqlen_k : a.k.dim(1);
    const TensorView &cu_q = a.seq.cu_seqlens_q, &cu_k = a.seq.cu_seqlens_k;
    if (ragged) {
      const auto integers = [](const TensorView& t) {
        return t.rank == 1 && (t.dtype == DType::kI32 || t.dtype == DType::kI64);
      };
      if (!integers(cu_q) || !integers(cu_k) || cu_q.dim(0) != cu_k.dim(0)) return;
      batch = cu_q.dim(0) - 1;
      for (int64_t b = 0; b < batch; ++b) {
        if (a.seq.max_seqlen_q == 0)
          most_q = std::max(most_q, index_at(cu_q, b + 1) - index_at(cu_q, b));
        if (a.seq.max_seqlen_k == 0)
          most_k = std::max(most_k, index_at(cu_k, b + 1) - index_at(cu_k, b));
      }
      if (most_q > a.q.dim(0) || most_k > a.k.dim(0)) return;  // lists that the library refuses
    }
    if (outputs.weights)
      a.weights = call.own(Tensor::empty(DType::kF32, {batch, heads, most_q, most_k}));
    if (outputs.scores)
      a.scores = call.own(Tensor::empty(DType::kF32, {batch, heads, most_q, most_k}));
  }
  poison_outputs(call);
}

void poison_outputs(const Call& call) {
  for (const TensorView* view :
       {&call.args.out, &call.args.lse, &call.args.weights, &call.args.scores}) {
    if (view->data == nullptr) continue;
    const int64_t size = size_bytes(view->dtype);
    char nan[8];
    testing::store(view->dtype, nan, std::numeric_limits<double>::quiet_NaN());
    for (int64_t n = 0; n < view->num_elements(); ++n)
      std::memcpy(static_cast<char*>(view->data) + n * size, nan, static_cast<size_t>(size));
  }
}

namespace {

template <class F>
void for_each_output(AttentionArgs& a, const F& f) {
  f(a.out), f(a.lse), f(a.weights), f(a.scores);
}

Tensor copied(const TensorView& view, Device device) {
  return Tensor::adopt(view, nullptr, [](void*) {}).to(device);
}

}  // namespace

Call on_device(const Call& call, Device device) {
  Call there = call;
  if (device == Device{}) return there;
  const auto move = [&](TensorView& view) {
    if (view) view = there.own(copied(view, device));
  };
  for (const Word& word : words()) move(*word.at(there.args, there.params));
  for_each_output(there.args, move);
  return there;
}

void bring_back(const Call& there, Call& here) {
  if (there.args.q.device == Device{}) return;
  AttentionArgs from = there.args;
  std::vector<Tensor> results;
  for_each_output(from,
                  [&](TensorView& view) { results.push_back(view ? copied(view, {}) : Tensor()); });
  size_t n = 0;
  for_each_output(here.args, [&](TensorView& view) {
    const TensorView& result = results[n++].view();
    if (view.data != nullptr && result.data != nullptr)
      std::memcpy(view.data, result.data,
                  static_cast<size_t>(view.num_elements() * size_bytes(view.dtype)));
  });
}

AttentionParams resolved(OpId op, const AttentionParams& params) {
  AttentionParams p = params;
  if (p.mask.diagonal == Diagonal::kOperatorDefault)
    p.mask.diagonal = op == OpId::kSdpa ? Diagonal::kTopLeft : Diagonal::kBottomRight;
  if (p.mask_with_bias == MaskWithBias::kUnset && op == OpId::kSdpa)
    p.mask_with_bias = MaskWithBias::kBoth;
  return p;
}

std::vector<std::string> describe(const Call& call) {
  std::vector<std::string> lines;
  Call copy = call;
  for (const Word& word : words()) {
    const TensorView& view = *word.at(copy.args, copy.params);
    if (!view) continue;
    std::string label = word.name;
    label.resize(std::max<size_t>(label.size() + 2, 7), ' ');
    lines.push_back(label + shape_text(view));
  }
  return lines;
}

}  // namespace attend::cli
