#include "strategies/engine/registry.h"

#include <mutex>

#include "attend/error.h"
#include "strategies/auto_regressive/strategy.h"

namespace attend::engine {

size_t NameTable::find(std::string_view name) const {
  if (const auto at = numbers_.find(name); at != numbers_.end()) return at->second;
  std::string known;
  for (const std::string& n : names_) known += (known.empty() ? "" : ", ") + n;
  throw Error(ErrorCode::kInvalidArgument, std::string(part_) + ": strategy is '" +
                                               std::string(name) + "', expected one of " + known);
}

std::vector<std::string> NameTable::names() const { return names_; }

size_t NameTable::claim(const std::string& name, const std::vector<std::string>& aliases,
                        bool exist_ok, size_t next) {
  std::vector<std::string> all{name};
  all.insert(all.end(), aliases.begin(), aliases.end());
  const auto own = numbers_.find(name);
  const size_t number = own != numbers_.end() ? own->second : next;
  for (const std::string& n : all) {
    const auto at = numbers_.find(n);
    const bool is_taken = at != numbers_.end() && (!exist_ok || at->second != number);
    if (n.empty() || is_taken)
      throw Error(ErrorCode::kInvalidArgument, std::string(part_) + ": strategy name '" + n +
                                                   "' is " + (n.empty() ? "empty" : "taken") +
                                                   ", expected a new name");
  }
  for (const std::string& n : all) numbers_[n] = number;
  if (own == numbers_.end() || number == next) names_.push_back(name);
  return number;
}

// The library's own are listed here by name: a static library drops objects that nobody names.
StrategyRegistries& strategies() {
  static StrategyRegistries& all = *[] {
    auto* r = new StrategyRegistries;  // never destroyed: threads may still make parts at exit
    register_strategy<AutoRegressive>(*r, {"autoregressive", "ar"});
    return r;
  }();
  return all;
}

namespace {

std::mutex g_current_mutex;
std::optional<std::string> g_current;

}  // namespace

std::optional<std::string> current_strategy() {
  const std::lock_guard lock(g_current_mutex);
  return g_current;
}

void set_current_strategy(const std::string& name) {
  strategies().requests.check(name);
  const std::lock_guard lock(g_current_mutex);
  g_current = name;
}

void clear_current_strategy() {
  const std::lock_guard lock(g_current_mutex);
  g_current.reset();
}

}  // namespace attend::engine
