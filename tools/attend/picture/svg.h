#pragma once
#include <string>

#include "tools/attend/picture/canvas.h"

namespace attend::cli {

class SvgCanvas final : public Canvas {
 public:
  SvgCanvas(double width, double height, const std::string& title);
  void rect(double x, double y, double w, double h, Color fill) override;
  void text(double x, double y, const std::string& words, double size, Anchor anchor,
            Color color) override;
  void upward_text(double x, double y, const std::string& words, double size, Color color) override;
  double text_width(const std::string& words, double size) const override;
  std::string finish() const { return body_ + "</svg>\n"; }

 private:
  std::string body_;
};

}  // namespace attend::cli
