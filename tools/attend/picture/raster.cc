#include "tools/attend/picture/raster.h"

#include <cairo.h>

#include <cmath>
#include <numbers>

#include "attend/error.h"

namespace attend::cli {
namespace {

constexpr int kScale = 2;  // pixels of a unit

int pixels(double units) { return static_cast<int>(std::ceil(units * kScale)); }

void set_color(cairo_t* cairo, Color color) {
  cairo_set_source_rgb(cairo, color.r / 255.0, color.g / 255.0, color.b / 255.0);
}

void set_font(cairo_t* cairo, double size) {
  cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(cairo, size);
}

}  // namespace

RasterCanvas::RasterCanvas(double width, double height)
    : surface_(cairo_image_surface_create(CAIRO_FORMAT_RGB24, pixels(width), pixels(height)),
               cairo_surface_destroy),
      cairo_(cairo_create(surface_.get()), cairo_destroy) {
  cairo_scale(cairo_.get(), kScale, kScale);
  set_color(cairo_.get(), kPaper);
  cairo_paint(cairo_.get());
}

// Cells meet at whole pixels: no seam of half-covered ones between them.
void RasterCanvas::rect(double x, double y, double w, double h, Color fill) {
  const auto at = [](double v) { return std::round(v * kScale) / kScale; };
  set_color(cairo_.get(), fill);
  cairo_rectangle(cairo_.get(), at(x), at(y), at(x + w) - at(x), at(y + h) - at(y));
  cairo_fill(cairo_.get());
}

double RasterCanvas::text_width(const std::string& words, double size) const {
  set_font(cairo_.get(), size);
  cairo_text_extents_t extents;
  cairo_text_extents(cairo_.get(), words.c_str(), &extents);
  return extents.x_advance;
}

void RasterCanvas::text(double x, double y, const std::string& words, double size, Anchor anchor,
                        Color color) {
  const double width = text_width(words, size);
  const double left = anchor == Anchor::kStart ? x
                      : anchor == Anchor::kEnd ? x - width
                                               : x - width / 2;
  set_color(cairo_.get(), color);
  cairo_move_to(cairo_.get(), left, y);
  cairo_show_text(cairo_.get(), words.c_str());
}

void RasterCanvas::upward_text(double x, double y, const std::string& words, double size,
                               Color color) {
  cairo_save(cairo_.get());
  cairo_translate(cairo_.get(), x, y);
  cairo_rotate(cairo_.get(), -std::numbers::pi / 2);
  text(0, 0, words, size, Anchor::kMiddle, color);
  cairo_restore(cairo_.get());
}

std::string RasterCanvas::png() const {
  std::string file;
  const auto append = [](void* to, const unsigned char* bytes, unsigned int count) {
    static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(bytes), count);
    return CAIRO_STATUS_SUCCESS;
  };
  const cairo_status_t status = cairo_surface_write_to_png_stream(surface_.get(), append, &file);
  if (status != CAIRO_STATUS_SUCCESS)
    throw Error(ErrorCode::kOutOfMemory,
                std::string("picture: cairo says: ") + cairo_status_to_string(status));
  return file;
}

}  // namespace attend::cli
