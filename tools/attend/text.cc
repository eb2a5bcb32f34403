#include "tools/attend/text.h"

#include <algorithm>
#include <cstdio>

namespace attend::cli {
namespace {

size_t width(const std::string& text) {  // in characters: bytes that continue one do not count
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string number(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

std::string shape_text(const TensorView& view) {
  std::string text = std::string(name(view.dtype)) + "[";
  for (int i = 0; i < view.rank; ++i) text += (i == 0 ? "" : ", ") + std::to_string(view.dim(i));
  return text + "]";
}

std::string join(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : between) + words[i];
  return text;
}

std::string one_line(const std::string& text) {
  std::string line;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\n') {
      line += text[i];
      continue;
    }
    while (i + 1 < text.size() && text[i + 1] == ' ') ++i;
    if (i + 1 < text.size()) line += !line.empty() && line.back() == ':' ? " " : "; ";
  }
  return printable(line);
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == at)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

Table::Table(std::vector<std::string> headings) : headings_(std::move(headings)) {
  for (std::string& heading : headings_) {
    right_.push_back(!heading.empty() && heading[0] == '>');
    if (right_.back()) heading.erase(0, 1);
  }
}

void Table::row(std::vector<std::string> cells) { lines_.push_back({std::move(cells), false}); }
void Table::section(std::string title) { lines_.push_back({{std::move(title)}, true}); }

std::string Table::text() const {
  std::vector<size_t> widths;
  for (const std::string& heading : headings_) widths.push_back(width(heading));
  for (const Line& line : lines_) {
    for (size_t i = 0; i < line.cells.size() && !line.section; ++i) {
      const bool runs_on = i + 1 == line.cells.size() && i + 1 < headings_.size();
      if (!runs_on) widths[i] = std::max(widths[i], width(line.cells[i]));
    }
  }
  std::string text;
  const auto add = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      const bool last = i + 1 == cells.size();
      const size_t gap = widths[i] > width(cells[i]) ? widths[i] - width(cells[i]) : 0;
      const bool right = right_[i] && !(last && i + 1 < headings_.size());
      line += (i == 0 ? "" : "  ") + (right ? std::string(gap, ' ') + cells[i]
                                            : cells[i] + std::string(last ? 0 : gap, ' '));
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  add(headings_);
  for (const Line& line : lines_) {
    if (line.section)
      text += line.cells[0] + "\n";
    else
      add(line.cells);
  }
  return text;
}

}  // namespace attend::cli
