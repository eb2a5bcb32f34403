#pragma once
#include <cstdint>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "strategies/engine/models/json_field.h"

namespace attend::engine {

// Ids are below this: tables are indexed by them.
inline constexpr int64_t kMaxTokens = int64_t{1} << 24;

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <class T>
using StringMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

// The model of type BPE: a vocabulary, and pairs of tokens to merge, the earliest in the list
// first.
class Bpe {
 public:
  explicit Bpe(const JsonField& model);

  const StringMap<int32_t>& vocab() const noexcept { return vocab_; }

  // Words of one text. Holds what is needed while merging, and the words that were seen.
  class Words {
   public:
    explicit Words(const Bpe& bpe) : bpe_(&bpe) {}
    // Appends the ids of a word, valid UTF-8.
    //   errors   kInvalidArgument when the unknown token is needed and is not in the vocabulary
    void encode(std::string_view word, std::vector<int32_t>& ids);

   private:
    struct Symbol {
      int32_t id = 0, previous = -1, next = -1;
      bool is_merged = false;  // into the one before
    };
    struct Candidate {
      uint32_t rank = 0;
      int32_t at = 0, id = 0;                     // of the left symbol; what the two become
      bool operator<(const Candidate& o) const {  // a std::priority_queue puts the largest first
        return rank != o.rank ? rank > o.rank : at > o.at;
      }
    };

    void cut(std::string_view word);
    bool add_bytes(std::string_view character);
    void add(int32_t id);
    void merge();
    void consider(int32_t left);

    const Bpe* bpe_;
    std::vector<Symbol> symbols_;
    std::priority_queue<Candidate> queue_;
    StringMap<std::vector<int32_t>> seen_;
  };

 private:
  struct Merge {
    uint32_t rank = 0;
    int32_t id = 0;
  };
  static uint64_t pair(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  void read_vocab(const JsonField& vocab);
  void read_merges(const JsonField& merges);

  StringMap<int32_t> vocab_;
  std::unordered_map<uint64_t, Merge> merges_;
  std::string unk_token_;
  int32_t unk_id_ = -1;
  int32_t byte_ids_[256];  // of "<0x00>" and so on; -1 where there is none
  bool has_unk_ = false, fuse_unk_ = false, byte_fallback_ = false, ignore_merges_ = false;
};

}  // namespace attend::engine
