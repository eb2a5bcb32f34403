#pragma once
#include <string>
#include <vector>

#include "tools/attend/picture/canvas.h"

namespace attend::cli {

// Pixels, two for each unit; text in a bitmap font of 5 x 7.
class RasterCanvas final : public Canvas {
 public:
  RasterCanvas(double width, double height);
  void rect(double x, double y, double w, double h, Color fill) override;
  void text(double x, double y, const std::string& words, double size, Anchor anchor,
            Color color) override;
  void upward_text(double x, double y, const std::string& words, double size, Color color) override;
  double text_width(const std::string& words, double size) const override;
  std::string png() const;

 private:
  void block(int x, int y, int w, int h, Color fill);
  int width_, height_;
  std::vector<Color> pixels_;
};

// A PNG of 8-bit RGB pixels, row by row (png.cc).
std::string encode_png(int width, int height, const std::vector<Color>& pixels);

}  // namespace attend::cli
