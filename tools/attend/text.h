#pragma once
#include <string>
#include <vector>

#include "attend/tensor.h"
#include "strategies/engine/models/file.h"

// Words and tables for terminals.
namespace attend::cli {

std::string number(double value, int digits = 3);  // "%.3g"
std::string shape_text(const TensorView& view);    // "f32[4, 30, 12, 32]"
std::string join(const std::vector<std::string>& words, const char* between = ", ");
using engine::printable;
// The lines of a message as one line.
std::string one_line(const std::string& text);
std::vector<std::string> split(const std::string& text, char at);

// A table whose columns are as wide as their widest cell.
class Table {
 public:
  // A column's heading; '>' in front of it sets the column right.
  explicit Table(std::vector<std::string> headings);
  void row(std::vector<std::string> cells);  // fewer cells than columns: the last one runs on
  void section(std::string title);           // a line of its own
  std::string text() const;

 private:
  struct Line {
    std::vector<std::string> cells;
    bool section = false;
  };
  std::vector<bool> right_;
  std::vector<std::string> headings_;
  std::vector<Line> lines_;
};

}  // namespace attend::cli
