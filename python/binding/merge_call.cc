#include "merge_call.h"

#include <nanobind/stl/string.h>

namespace attend::python {
namespace {

constexpr Word<MergeCall> kWords[] = {
    {"out_a", [](MergeCall& c, const Value& v) { c.args.out_a = v.tensor(); }},
    {"lse_a", [](MergeCall& c, const Value& v) { c.args.lse_a = v.tensor(); }},
    {"out_b", [](MergeCall& c, const Value& v) { c.args.out_b = v.tensor(); }},
    {"lse_b", [](MergeCall& c, const Value& v) { c.args.lse_b = v.tensor(); }},
    {"out", [](MergeCall& c, const Value& v) { c.args.out = v.output(c.out); }},
    {"lse", [](MergeCall& c, const Value& v) { c.args.lse = v.output(c.lse); }},
    {"out_dtype", [](MergeCall& c, const Value& v) { c.out_dtype = v.dtype(); }},
};

std::vector<int64_t> shape_of(const TensorView& t) {
  return {t.shape.begin(), t.shape.begin() + t.rank};
}

}  // namespace

std::span<const Word<MergeCall>> MergeCall::words() { return kWords; }

void MergeCall::read(const nb::dict& said) {
  read_into(*this, words(), said);
  for (const char* word : {"out_a", "lse_a", "out_b", "lse_b"}) {
    if (!said.contains(word)) missing_word(*this, word);
    if (nb::handle(said[word]).is_none()) tensors.input(word, nb::none());  // refused in its words
  }
  like = said_with(said, "out_a");
  if (out.is_valid() && out_dtype && *out_dtype != args.out.dtype)
    invalid(*this, std::string("out_dtype is ") + name(*out_dtype) + " and out is " +
                       name(args.out.dtype) + ", expected one of the two words or the same dtype");
}

std::vector<Wanted> MergeCall::wanted() {
  std::vector<Wanted> wanted;
  if (!out.is_valid())
    wanted.push_back({"out", &args.out, &out, shape_of(args.out_a),
                      out_dtype.value_or(args.out_a.dtype), std::nullopt});
  if (!lse.is_valid())
    wanted.push_back({"lse", &args.lse, &lse, shape_of(args.lse_a), DType::kF32, std::nullopt});
  return wanted;
}

nb::object MergeCall::result(const RunResult& ran) const {
  return nb::module_::import_("attend._results").attr("MergeResult")(out, lse, nb::str(ran.kernel));
}

}  // namespace attend::python
