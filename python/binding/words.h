#pragma once
#include <nanobind/nanobind.h>

#include <string>

namespace attend::python {

// Which operators have the word, for the error of one that has not: "gdn"; empty where none has.
std::string operators_with(const std::string& word);

// The keywords of an operator, tensors included, in the order of its table.
nanobind::list known_words(const std::string& op);

}  // namespace attend::python
