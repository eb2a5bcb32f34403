#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "attend/tensor.h"
#include "strategies/engine/models/safetensors.h"

namespace attend::engine {

// The weights of a folder: model.safetensors, or the shards that model.safetensors.index.json
// names. The files are mapped, so that a tensor is in memory once, as the file has it, until it is packed.
//   errors   all kInvalidArgument, naming the file and the tensor
class Checkpoint {
 public:
  explicit Checkpoint(const std::string& folder);
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  ~Checkpoint();

  bool has(const std::string& name) const { return entries_.count(name) != 0; }
  // f32, f16 or bf16, row-major; lives as long as the checkpoint.
  //   errors   no such tensor, another shape, another element type
  TensorView tensor(const std::string& name, std::initializer_list<int64_t> shape);
  // The same as f32 in memory of its own: what is small and read element by element.
  Tensor tensor_f32(const std::string& name, std::initializer_list<int64_t> shape);
  // That everything was asked for: a tensor left over would change what the model computes.
  //   ignored  names, or with a '*' at one of their ends what they end or begin with
  //   errors   a tensor that is neither asked for nor ignored
  void finish(const std::vector<std::string_view>& ignored) const;
  // Gives back the pages that were read; what is read again comes from the file.
  void drop_pages() const;

 private:
  class File;
  struct Entry {
    const File* file = nullptr;
    TensorEntry place;
    bool asked_for = false;
  };
  void add(const std::string& path, const std::set<std::string>* only);
  std::string folder_;
  std::vector<std::unique_ptr<File>> files_;
  std::map<std::string, Entry> entries_;
  std::vector<Tensor> aligned_;  // copies of what lies at an odd address
};

}  // namespace attend::engine
