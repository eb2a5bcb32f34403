#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attend::engine {

// Who made a part of a strategy known under which names; one for each kind of part. The half that does
// not depend on the kind.
class NameTable {
 public:
  explicit NameTable(const char* part) : part_(part) {}

  // The number of a strategy's factory.
  //   errors   kInvalidArgument with the list of names, if it is none of them
  size_t find(std::string_view name) const;
  std::vector<std::string> names() const;  // without aliases
  // Under which number a strategy's factory is to be kept; `next` if the name is new.
  //   errors   kInvalidArgument: an empty name, a taken one without exist_ok
  size_t claim(const std::string& name, const std::vector<std::string>& aliases, bool exist_ok,
               size_t next);

 private:
  const char* part_;
  std::map<std::string, size_t, std::less<>> numbers_;
  std::vector<std::string> names_;
};

// Factories of one kind of part (requests, schedulers, ...) by strategy name.
template <class Product, class... Args>
class PartRegistry {
 public:
  using Factory = std::function<std::unique_ptr<Product>(Args...)>;

  explicit PartRegistry(const char* part) : table_(part) {}

  //   errors   kInvalidArgument: an empty name, a taken one without exist_ok
  void add(const std::string& name, Factory factory, const std::vector<std::string>& aliases = {},
           bool exist_ok = false) {
    const std::lock_guard lock(mutex_);
    const size_t number = table_.claim(name, aliases, exist_ok, factories_.size());
    if (number == factories_.size()) factories_.emplace_back();
    factories_[number] = std::move(factory);
  }

  //   errors   kInvalidArgument with the list of names, if it is none of them; the part's own
  std::unique_ptr<Product> make(std::string_view name, Args... args) const {
    Factory factory;
    {
      const std::lock_guard lock(mutex_);
      factory = factories_[table_.find(name)];
    }
    return factory(std::forward<Args>(args)...);
  }

  //   errors   kInvalidArgument with the list of names, if it is none of them
  void check(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    table_.find(name);
  }
  std::vector<std::string> names() const {
    const std::lock_guard lock(mutex_);
    return table_.names();
  }

 private:
  mutable std::mutex mutex_;
  NameTable table_;
  std::vector<Factory> factories_;
};

}  // namespace attend::engine
