#include "tools/attend/formats/tensor_file.h"

#include <algorithm>
#include <cstring>
#include <fstream>

#include "attend/error.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

// Digits compare by the number they write.
bool natural_less(const std::string& a, const std::string& b) {
  size_t i = 0, j = 0;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      size_t i1 = i, j1 = j;
      while (i1 < a.size() && digit(a[i1])) ++i1;
      while (j1 < b.size() && digit(b[j1])) ++j1;
      if (i1 - i != j1 - j) return i1 - i < j1 - j;
      if (const int order = a.compare(i, i1 - i, b, j, j1 - j); order != 0) return order < 0;
      i = i1, j = j1;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i, ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

// Reverses the order of dimensions in memory.
void fortran_to_row_major(const std::byte* from, std::byte* to, const TensorView& view) {
  const auto size = static_cast<size_t>(size_bytes(view.dtype));
  std::array<int64_t, kMaxRank> at{};
  for (int64_t n = 0; n < view.num_elements(); ++n) {
    int64_t source = 0;
    for (int d = view.rank; d-- > 0;) source = source * view.dim(d) + at[static_cast<size_t>(d)];
    std::memcpy(to + static_cast<size_t>(n) * size, from + static_cast<size_t>(source) * size,
                size);
    for (int d = view.rank; d-- > 0;) {
      if (++at[static_cast<size_t>(d)] < view.dim(d)) break;
      at[static_cast<size_t>(d)] = 0;
    }
  }
}

}  // namespace

TensorFile::TensorFile(const std::string& path) : path_(path) {
  const auto ends = [&](const char* end) {
    return path.size() > std::strlen(end) && path.ends_with(end);
  };
  if (!ends(".safetensors") && !ends(".npy"))
    refuse_file(path, "kind of file is unknown, expected a name in .safetensors or .npy");
  named_ = ends(".safetensors");
  if (!named_) entries_.emplace("", read_npy_header(path));
  if (named_)
    for (auto& [name, entry] : engine::read_safetensors_header(path))
      entries_.emplace(name, FileEntry{std::move(entry)});
}

std::vector<std::string> TensorFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  std::sort(names.begin(), names.end(), natural_less);
  return names;
}

Tensor TensorFile::read(const std::string& name, std::optional<DType> as) const {
  const auto found = entries_.find(name);
  const std::string label = named_ ? "'" + printable(name) + "' " : "";
  if (found == entries_.end()) {
    std::vector<std::string> known = names();
    const size_t all = known.size(), shown = 40;
    if (all > shown) known.resize(shown);
    refuse_file(path_, "tensor is " + label + "of which there is none, expected one of " +
                           printable(join(known)) +
                           (all > shown ? ", ... (" + std::to_string(all) + ")" : ""));
  }
  FileEntry e = found->second;
  if (!e.dtype && e.dtype_word.ends_with("V2")) {
    if (as != DType::kBF16)
      refuse_file(path_, "dtype is " + e.dtype_word +
                             ", which does not say what its elements are; pass --dtype bf16 if "
                             "they are bfloat16");
    e.dtype = DType::kBF16;
  }
  if (!e.dtype)
    refuse_file(path_, label + "dtype is " + printable(e.dtype_word) +
                           ", expected an element type of attend: f32, f16, bf16, f8_e4m3, "
                           "f8_e5m2, i8, i32, i64 or bool");
  if (e.shape.size() > kMaxRank)
    refuse_file(path_, label + "rank is " + std::to_string(e.shape.size()) + ", expected at most " +
                           std::to_string(kMaxRank));
  Tensor tensor = Tensor::empty(*e.dtype, std::vector<int64_t>(e.shape.begin(), e.shape.end()));
  if (e.bytes == 0) return tensor;
  std::ifstream stream(path_, std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(e.offset));
  stream.read(tensor.data<char>(), static_cast<std::streamsize>(e.bytes));
  if (!stream) refuse_file(path_, "cannot be read: it ended early");
  const auto size = static_cast<size_t>(size_bytes(*e.dtype));
  if (e.swap_bytes) {
    for (size_t n = 0; n < e.bytes; n += size)
      std::reverse(tensor.data<char>() + n, tensor.data<char>() + n + size);
  }
  if (*e.dtype == DType::kBool) {
    for (size_t n = 0; n < e.bytes; ++n) {
      if (tensor.data<uint8_t>()[n] > 1)
        refuse_file(path_, label + "element " + std::to_string(n) + " is " +
                               std::to_string(tensor.data<uint8_t>()[n]) +
                               ", expected 0 or 1 of a bool");
    }
  }
  if (e.fortran_order && tensor.view().rank > 1) {
    Tensor ordered = Tensor::empty(*e.dtype, std::vector<int64_t>(e.shape.begin(), e.shape.end()));
    fortran_to_row_major(tensor.data<std::byte>(), ordered.data<std::byte>(), tensor.view());
    return ordered;
  }
  return tensor;
}

}  // namespace attend::cli
