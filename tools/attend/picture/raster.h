#pragma once
#include <memory>
#include <string>

#include "tools/attend/picture/canvas.h"

struct _cairo;
struct _cairo_surface;

namespace attend::cli {

// Pixels, two for each unit, by cairo.
class RasterCanvas final : public Canvas {
 public:
  RasterCanvas(double width, double height);
  void rect(double x, double y, double w, double h, Color fill) override;
  void text(double x, double y, const std::string& words, double size, Anchor anchor,
            Color color) override;
  void upward_text(double x, double y, const std::string& words, double size, Color color) override;
  double text_width(const std::string& words, double size) const override;
  // The picture as a PNG file.
  //   errors   kOutOfMemory if cairo had none for the pixels
  std::string png() const;

 private:
  std::unique_ptr<_cairo_surface, void (*)(_cairo_surface*)> surface_;
  std::unique_ptr<_cairo, void (*)(_cairo*)> cairo_;
};

}  // namespace attend::cli
