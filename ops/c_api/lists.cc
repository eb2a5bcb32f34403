// What there is: words, operators, kernels, backends, threads; through callbacks of the C surface.
#include <string>

#include "attend/parallel.h"
#include "attend/registry.h"
#include "ops/c_api/errors.h"
#include "ops/words.h"

namespace attend::c_api {
namespace {

template <class Args, class Params>
void list_words(attend_on_word each, void* user) {
  for (const Word<Args, Params>& w : words<Args, Params>()) {
    const attend_word_info info{w.name, name(w.kind), w.values, w.output};
    each(user, &info);
  }
}

template <class Args, class Params>
void list_rows(OpId op, DeviceType device, attend_on_kernel each, void* user) {
  for (const KernelEntry<Args, Params>& row :
       Registry::global().kernels<Args, Params>(op, device)) {
    const Status status = row.available(Device{device, 0});
    const std::string why = status ? "" : to_string(status);
    const attend_kernel_info info{name(op),     name(device),
                                  row.name,     row.summary,
                                  row.priority, static_cast<attend_error_code>(status.code),
                                  why.c_str()};
    each(user, &info);
  }
}

}  // namespace
}  // namespace attend::c_api

using namespace attend;

extern "C" {

uint32_t attend_c_api_version(void) { return ATTEND_C_API_VERSION; }
const char* attend_version(void) { return ATTEND_VERSION; }

attend_error_code attend_list_words(const char* op, attend_on_word each, void* user) {
  return c_api::guarded([&] {
    c_api::given("attend_list_words", "op", op);
    c_api::given("attend_list_words", "each", each);
    switch (op_from_name(op)) {
      case OpId::kGdn: return c_api::list_words<GdnArgs, GdnParams>(each, user);
      case OpId::kMerge: return c_api::list_words<MergeArgs, MergeParams>(each, user);
      default: return c_api::list_words<AttentionArgs, AttentionParams>(each, user);
    }
  });
}

attend_error_code attend_list_operators(attend_on_operator each, void* user) {
  return c_api::guarded([&] {
    c_api::given("attend_list_operators", "each", each);
    for (int i = 0; i < static_cast<int>(OpId::kCount); ++i) {
      const attend_operator_info info{name(static_cast<OpId>(i)), aliases(static_cast<OpId>(i))};
      each(user, &info);
    }
  });
}

attend_error_code attend_list_kernels(attend_on_kernel each, void* user) {
  return c_api::guarded([&] {
    c_api::given("attend_list_kernels", "each", each);
    for (int i = 0; i < static_cast<int>(OpId::kCount); ++i) {
      const auto op = static_cast<OpId>(i);
      for (DeviceType device : {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm}) {
        if (op == OpId::kGdn)
          c_api::list_rows<GdnArgs, GdnParams>(op, device, each, user);
        else if (op == OpId::kMerge)
          c_api::list_rows<MergeArgs, MergeParams>(op, device, each, user);
        else
          c_api::list_rows<AttentionArgs, AttentionParams>(op, device, each, user);
      }
    }
  });
}

attend_error_code attend_list_backends(attend_on_backend each, void* user) {
  return c_api::guarded([&] {
    c_api::given("attend_list_backends", "each", each);
    for (const Backend& b : Registry::global().backends()) {
      const attend_backend_info info{b.name.c_str(), static_cast<int32_t>(b.device), b.device_count,
                                     b.status.c_str(), b.path.c_str()};
      each(user, &info);
    }
  });
}

attend_error_code attend_list_load_failures(attend_on_load_failure each, void* user) {
  return c_api::guarded([&] {
    c_api::given("attend_list_load_failures", "each", each);
    for (const LoadFailure& f : Registry::global().load_failures())
      each(user, f.path.c_str(), f.reason.c_str());
  });
}

attend_error_code attend_load_backend(const char* path) {
  return c_api::guarded(
      [&] { Registry::global().load_backend(c_api::given("attend_load_backend", "path", path)); });
}

int32_t attend_num_threads(void) {
  int32_t count = 0;
  c_api::guarded([&] { count = num_threads(); });
  return count;
}
attend_error_code attend_set_num_threads(int32_t count) {
  return c_api::guarded([&] { set_num_threads(count); });
}
const char* attend_native_isa(void) {
  const char* isa = "";
  c_api::guarded([&] { isa = native_isa(); });
  return isa;
}

}  // extern "C"
