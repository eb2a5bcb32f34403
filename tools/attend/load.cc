// How a call is read from flags and files.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "attend/error.h"
#include "tools/attend/call.h"
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

// The dtype of V2 elements of .npy, and what q, k and v become.
std::optional<DType> dtype_of(const CallFlags& flags) {
  return flags.dtype ? std::optional(dtype_from(*flags.dtype)) : std::nullopt;
}

// One tensor from the words of a flag.
template <class C>
TensorView from_flag(C& call, const std::string& word, const std::string& text, bool ragged,
                     std::optional<DType> as) {
  const Form form = form_of(word);
  if (is_file(text) || form == Form::kValues || form == Form::kBroadcast)
    return call.own(load_ref(text, word, as));
  if (form == Form::kSegments) {
    const bool table = word == "block_table";
    const TensorView view = call.own(segments_of(word, text, ragged && !table));
    if (view.rank == 2 && view.dim(0) == 1 && !table) call.single.insert(word);
    return view;
  }
  if (form == Form::kFloats) {
    const auto values = numbers<float>(word, text);
    return call.own(tensor_of(values, {static_cast<int64_t>(values.size())}));
  }
  const auto values = numbers<int64_t>(word, text);
  if (form == Form::kIndex && values.size() == 1) call.single.insert(word);
  return call.own(tensor_of(values, {static_cast<int64_t>(values.size())}));
}

// Sequences of a call whose tensors have their ranks; 1 where nothing tells.
int64_t batch_of(const Call& c) {
  if (c.args.seq.cu_seqlens_q) return c.args.seq.cu_seqlens_q.dim(0) - 1;
  return c.args.q ? c.args.q.dim(0) : 1;
}
int64_t batch_of(const GdnCall& c) {
  if (c.args.cu_seqlens) return c.args.cu_seqlens.dim(0) - 1;
  return c.args.q ? c.args.q.dim(0) : c.args.mixed_qkv ? c.args.mixed_qkv.dim(0) : 1;
}
int64_t batch_of(const MergeCall&) { return 1; }

// The words that an operator cannot do without, where the flags that give them are worth telling.
std::vector<std::string> needed(OpId op) {
  if (op == OpId::kGdn) return {};
  if (op == OpId::kMerge) return {"out_a", "lse_a", "out_b", "lse_b"};
  if (op == OpId::kAppend) return {"k", "v", "k_new", "v_new", "slot_mapping"};
  return {"q", "k", "v"};
}

template <class C>
void refuse_absent(C& call, OpId op, const CallFlags& flags, const TensorFile* file,
                   const std::string& prefix) {
  for (const std::string& name : needed(op)) {
    if (call.at(word<typename C::Args, typename C::Params>("run", name))) continue;
    if (file != nullptr)
      refuse_file(flags.input, "tensor is '" + printable(prefix + name) +
                                   "' of which there is none, expected one of " +
                                   printable(join(file->names())));
    std::string dashed = name;
    std::replace(dashed.begin(), dashed.end(), '_', '-');
    refuse(name + " is absent, expected --" + dashed + " FILE[:NAME] or --input FILE");
  }
}

}  // namespace

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

template <class C>
void load_words(C& call, const CallFlags& flags, const TensorFile* file,
                const std::string& prefix) {
  const std::optional<DType> as = dtype_of(flags);
  const bool ragged = flags.tensors.count("cu_seqlens_q") != 0;
  each_tensor(call, [&](const auto& word, TensorView& view) {
    if (word.output) return;
    const auto given = flags.tensors.find(word.name);
    std::string name;
    if (given != flags.tensors.end())
      view = from_flag(call, word.name, given->second, ragged, as);
    else if (file != nullptr && find_name(*file, prefix, word.name, name))
      view = call.own(file->read(name, as));
  });
}

template <class C>
void spread_single(C& call, int64_t batch) {
  each_tensor(call, [&](const auto& word, TensorView& view) {
    if (call.single.count(word.name) == 0 || view.rank == 0) return;
    view.shape[0] = batch;
    view.stride[0] = 0;
  });
}

template <class C>
C load_call(OpId op, const CallFlags& flags, const std::string& prefix) {
  C call;
  flags.set_scalars(name(op), call.args, call.params);
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
  refuse_absent(call, op, flags, file ? &*file : nullptr, prefix);
  if (flags.dtype) call = with_dtype(call, dtype_from(*flags.dtype), has_caches(op));
  spread_single(call, batch_of(call));
  if constexpr (std::is_same_v<C, Call>)
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

template <class C>
C with_dtype(const C& call, DType dtype, bool keep_caches) {
  C result = call;
  each_tensor(result, [&](const auto& word, TensorView& view) {
    const std::string_view n = word.name;
    const bool cache = n == "k" || n == "v";
    if (n != "q" && !cache && n != "k_new" && n != "v_new" && n != "mixed_qkv" &&
        n != "conv_state" && n != "out_a" && n != "out_b")
      return;
    if (!view || view.dtype == dtype || (keep_caches && cache && size_bytes(view.dtype) == 1))
      return;
    for (const auto& tensor : call.owned) {
      if (tensor->view().data != view.data) continue;
      view = result.own(convert(*tensor, dtype));
      break;
    }
  });
  return result;
}

template Call load_call<Call>(OpId, const CallFlags&, const std::string&);
template GdnCall load_call<GdnCall>(OpId, const CallFlags&, const std::string&);
template MergeCall load_call<MergeCall>(OpId, const CallFlags&, const std::string&);
template void load_words<Call>(Call&, const CallFlags&, const TensorFile*, const std::string&);
template void spread_single<Call>(Call&, int64_t);
template Call with_dtype<Call>(const Call&, DType, bool);

}  // namespace attend::cli
