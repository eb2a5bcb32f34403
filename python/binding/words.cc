#include "words.h"

#include <algorithm>
#include <string_view>

#include "attention_call.h"
#include "gdn_call.h"
#include "merge_call.h"

namespace attend::python {
namespace {

template <class Call>
bool has(std::span<const Word<Call>> table, std::string_view word) {
  return std::any_of(table.begin(), table.end(), [&](const auto& w) { return word == w.name; });
}

template <class Call>
void list(nb::list& names, std::span<const Word<Call>> table) {
  for (const auto& word : table) names.append(word.name);
}

}  // namespace

std::string operators_with(const std::string& word) {
  std::string owners;
  const auto add = [&](bool owns, const char* who) {
    if (owns) owners += (owners.empty() ? "" : " or ") + std::string(who);
  };
  add(has(AttentionCall::words(), word), "the attention operators");
  add(has(GdnCall::words(), word), "gdn");
  add(has(MergeCall::words(), word), "merge");
  return owners;
}

nb::list known_words(const std::string& op) {
  nb::list names;
  switch (op_from_name(op)) {
    case OpId::kGdn: list(names, GdnCall::words()); break;
    case OpId::kMerge: list(names, MergeCall::words()); break;
    default: list(names, AttentionCall::words()); break;
  }
  list(names, run_words());
  return names;
}

}  // namespace attend::python
