#include <array>
#include <string>

#include "attend/kernel.h"

namespace attend {
namespace {

struct OpName {
  const char* name;
  const char* aliases;  // comma-separated
};

// Contract 5, in the order of OpId.
constexpr std::array<OpName, static_cast<size_t>(OpId::kCount)> kNames{{
    {"vanilla", ""},
    {"flash", "flash_attn2"},
    {"paged", "paged_attention"},
    {"splash", ""},
    {"decode", "autoregressive_decode"},
    {"sdpa", "cudnn,cuda_flash_attn2"},
    {"ring", ""},
    {"gdn", "gated_delta_net"},
    {"merge", ""},
    {"append", ""},
}};

bool lists(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (list.substr(0, comma) == word) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace

const char* name(OpId op) noexcept {
  return op < OpId::kCount ? kNames[static_cast<size_t>(op)].name : "unknown";
}
const char* aliases(OpId op) noexcept {
  return op < OpId::kCount ? kNames[static_cast<size_t>(op)].aliases : "";
}

OpId op_from_name(std::string_view wanted) {
  std::string known;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (wanted == kNames[i].name || lists(kNames[i].aliases, wanted)) return static_cast<OpId>(i);
    known += (i == 0 ? "" : ", ") + std::string(kNames[i].name);
    if (*kNames[i].aliases != '\0') known += " (" + std::string(kNames[i].aliases) + ")";
  }
  throw Error(ErrorCode::kInvalidArgument,
              "op_from_name: name is '" + std::string(wanted) + "', expected one of " + known);
}

}  // namespace attend
