#include "strategies/engine/models/checkpoint.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "strategies/engine/math/elementwise.h"
#include "strategies/engine/models/file.h"

namespace attend::engine {

// A file's bytes, read by the system when they are touched.
class Checkpoint::File {
 public:
  explicit File(const std::string& path) : path_(path) {
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (descriptor >= 0 && fstat(descriptor, &status) == 0) {
      size_ = static_cast<size_t>(status.st_size);
      data_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    }
    const int error = errno;
    if (descriptor >= 0) close(descriptor);
    if (data_ == MAP_FAILED)
      refuse_file(path, std::string("cannot be mapped: ") + std::strerror(error));
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { munmap(data_, size_); }

  const std::string& path() const { return path_; }
  size_t size() const { return size_; }
  char* at(uint64_t offset) const { return static_cast<char*>(data_) + offset; }
  void drop_pages() const { madvise(data_, size_, MADV_DONTNEED); }

 private:
  std::string path_;
  size_t size_ = 0;
  void* data_ = MAP_FAILED;
};

namespace {

// Names of tensors by the shard that holds them, as the index says.
std::map<std::string, std::set<std::string>> read_index(const std::string& path) {
  const uint64_t size = size_of_file(path);
  const auto index = nlohmann::json::parse(head_of_file(path, 0, size), nullptr, false);
  if (index.is_discarded()) refuse_file(path, "content is no JSON");
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    refuse_file(path, "weight_map is absent, expected an object of tensors and their files");
  std::map<std::string, std::set<std::string>> shards;
  for (const auto& [name, file] : index["weight_map"].items()) {
    const std::string shard = file.is_string() ? file.get<std::string>() : "";
    if (!shard.ends_with(".safetensors") || shard.find('/') != std::string::npos)
      refuse_file(
          path, "weight_map of '" + printable(name) + "' is " +
                    printable(file.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) +
                    ", expected the name of a .safetensors file beside the index");
    shards[shard].insert(name);
  }
  return shards;
}

template <class Shape>
std::string shape_words(const Shape& shape) {
  std::string text = "[";
  for (const auto dim : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

bool matches(std::string_view name, std::string_view pattern) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  if (pattern.starts_with('*')) return name.ends_with(pattern.substr(1));
  return name == pattern;
}

}  // namespace

Checkpoint::Checkpoint(const std::string& folder) : folder_(folder) {
  const std::string single = folder + "/model.safetensors";
  const std::string index = folder + "/model.safetensors.index.json";
  if (std::filesystem::exists(single)) {
    add(single, nullptr);
    return;
  }
  if (!std::filesystem::exists(index))
    refuse_file(folder,
                "holds no weights, expected model.safetensors or model.safetensors.index.json");
  for (const auto& [shard, names] : read_index(index)) {
    add(folder + "/" + shard, &names);
    for (const std::string& name : names)
      if (!has(name))
        refuse_file(
            files_.back()->path(),
            "'" + printable(name) + "' is not in this file, expected it there, as the index says");
  }
}

Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

void Checkpoint::add(const std::string& path, const std::set<std::string>* only) {
  auto entries = read_safetensors_header(path);
  files_.push_back(std::make_unique<File>(path));
  const File& file = *files_.back();
  for (auto& [name, place] : entries) {
    if (place.offset + place.bytes > file.size())
      refuse_file(path, "was cut short while it was read");
    if (only == nullptr || only->count(name) != 0) entries_[name] = {&file, std::move(place)};
  }
}

TensorView Checkpoint::tensor(const std::string& name, std::initializer_list<int64_t> shape) {
  const auto found = entries_.find(name);
  if (found == entries_.end())
    refuse_file(files_.size() == 1 ? files_[0]->path() : folder_,
                "tensor '" + name + "' is absent, expected shape " + shape_words(shape));
  Entry& entry = found->second;
  const std::string& path = entry.file->path();
  if (!std::equal(shape.begin(), shape.end(), entry.place.shape.begin(), entry.place.shape.end(),
                  [](int64_t a, uint64_t b) { return static_cast<uint64_t>(a) == b; }))
    refuse_file(path, "tensor '" + name + "' shape is " + shape_words(entry.place.shape) +
                          ", expected " + shape_words(shape) + " of config.json");
  const auto dtype = entry.place.dtype;
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16)
    refuse_file(path, "tensor '" + name + "' dtype is " + entry.place.dtype_word +
                          ", expected F32, F16 or BF16");
  entry.asked_for = true;
  TensorView view = contiguous(entry.file->at(entry.place.offset), *dtype, shape);
  if (reinterpret_cast<uintptr_t>(view.data) % static_cast<uintptr_t>(size_bytes(*dtype)) == 0)
    return view;
  aligned_.push_back(Tensor::empty(*dtype, shape));
  std::memcpy(aligned_.back().view().data, view.data, entry.place.bytes);
  return aligned_.back();
}

Tensor Checkpoint::tensor_f32(const std::string& name, std::initializer_list<int64_t> shape) {
  Tensor copy = Tensor::empty(DType::kF32, shape);
  convert(tensor(name, shape), copy);
  return copy;
}

void Checkpoint::finish(const std::vector<std::string_view>& ignored) const {
  for (const auto& [name, entry] : entries_) {
    bool known = entry.asked_for;
    for (const std::string_view pattern : ignored) known = known || matches(name, pattern);
    if (!known)
      refuse_file(entry.file->path(), "tensor '" + printable(name) +
                                          "' belongs to no layer of this model, expected what "
                                          "config.json describes; does it fit the weights?");
  }
}

void Checkpoint::drop_pages() const {
  for (const auto& file : files_) file->drop_pages();
}

}  // namespace attend::engine
