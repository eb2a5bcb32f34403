# Reading tokenizer.json. PCRE2 runs the patterns that texts are cut by, utf8proc knows Unicode.
find_package(PkgConfig REQUIRED)
pkg_check_modules(ATTEND_TOKENIZER IMPORTED_TARGET GLOBAL libpcre2-8 libutf8proc)
if(NOT ATTEND_TOKENIZER_FOUND)
  message(FATAL_ERROR "The engine needs PCRE2 and utf8proc. Install them (Debian: libpcre2-dev libutf8proc-dev; "
    "tools/setup demo does), or configure with -DATTEND_ENGINE=OFF for the operators alone.")
endif()

target_sources(attend_engine PRIVATE json_field.cc tokenizer.cc tokenizer_added.cc tokenizer_bpe.cc tokenizer_decode.cc
  tokenizer_normalize.cc tokenizer_parts.cc tokenizer_pattern.cc tokenizer_regex.cc tokenizer_split.cc
  tokenizer_template.cc tokenizer_unicode.cc)
target_link_libraries(attend_engine PRIVATE PkgConfig::ATTEND_TOKENIZER)
