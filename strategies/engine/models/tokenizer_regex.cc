#include "strategies/engine/models/tokenizer_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>

#include "strategies/engine/models/json_field.h"
#include "strategies/engine/models/tokenizer_unicode.h"

namespace attend::engine {
namespace {

[[noreturn]] void fail(ErrorCode code, const std::string& pattern, const std::string& why) {
  throw Error(code, "pattern " + in_quotes(pattern) + " " + why);
}

std::string message_of(int code) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

pcre2_code* code_of(const std::shared_ptr<void>& code) {
  return static_cast<pcre2_code*>(code.get());
}

// What a thread needs while it matches, kept from one call to the next.
struct Scratch {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);

  Scratch() {
    constexpr uint32_t kHeapKib = 256 * 1024;
    if (context != nullptr) pcre2_set_heap_limit(context, kHeapKib);
  }
  ~Scratch() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

}  // namespace

Regex::Regex(const std::string& pattern, const std::string& shown, unsigned options)
    : shown_(shown) {
  const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | options, &error, &at, context.get());
  if (code == nullptr)
    fail(ErrorCode::kInvalidArgument, shown,
         "is refused by PCRE2 (" + message_of(error) + "), expected a valid pattern");
  code_ =
      std::shared_ptr<void>(code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
  // Where no code can be made at run time, the interpreter serves.
  static_cast<void>(pcre2_jit_compile(code, PCRE2_JIT_COMPLETE));
}

Regex Regex::pattern(const std::string& oniguruma) {
  return {pcre2_pattern(oniguruma), oniguruma, PCRE2_UCP | PCRE2_MULTILINE};
}

Regex Regex::literal(const std::string& text) { return {text, text, PCRE2_LITERAL}; }

void Regex::find_all(std::string_view text, std::vector<TextRange>& matches) const {
  thread_local Scratch scratch;
  if (scratch.data == nullptr || scratch.context == nullptr) throw std::bad_alloc();
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const auto match = [&](size_t from, uint32_t options) {
    return pcre2_match(code_of(code_), subject, text.size(), from, PCRE2_NO_UTF_CHECK | options,
                       scratch.data, scratch.context);
  };
  size_t from = 0, last = std::string_view::npos;
  while (from <= text.size()) {
    int found = match(from, 0);
    // Compiled code has a stack of 32 KiB, the interpreter the heap.
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(from, PCRE2_NO_JIT);
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0)
      fail(ErrorCode::kInvalidArgument, shown_,
           "is not matched on this text (" + message_of(found) + "), expected a simpler pattern");
    const PCRE2_SIZE* at = pcre2_get_ovector_pointer(scratch.data);
    if (at[0] == at[1] && at[0] == last) {
      if (from == text.size()) return;
      next_char(text, from);
      continue;
    }
    matches.push_back({at[0], at[1]});
    from = last = at[1];
  }
}

}  // namespace attend::engine
