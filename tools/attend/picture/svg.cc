#include "tools/attend/picture/svg.h"

#include <cstdio>

namespace attend::cli {
namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += (c < 0x20 && c >= 0) || c == 0x7f ? '?' : c;
  }
  return out;
}

std::string hex(Color c) {
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", c.r, c.g, c.b);
  return text;
}

std::string num(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", x);
  return text;
}

}  // namespace

SvgCanvas::SvgCanvas(double width, double height, const std::string& title) {
  body_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + num(width) + "\" height=\"" +
          num(height) + "\" viewBox=\"0 0 " + num(width) + " " + num(height) +
          "\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n<title>" +
          escaped(title) + "</title>\n";
  rect(0, 0, width, height, kPaper);
}

void SvgCanvas::rect(double x, double y, double w, double h, Color fill) {
  body_ += "<rect x=\"" + num(x) + "\" y=\"" + num(y) + "\" width=\"" + num(w) + "\" height=\"" +
           num(h) + "\" fill=\"" + hex(fill) + "\" shape-rendering=\"crispEdges\"/>\n";
}

void SvgCanvas::text(double x, double y, const std::string& words, double size, Anchor anchor,
                     Color color) {
  const char* names[] = {"start", "middle", "end"};
  body_ += "<text x=\"" + num(x) + "\" y=\"" + num(y) + "\" font-size=\"" + num(size) +
           "\" text-anchor=\"" + names[static_cast<int>(anchor)] + "\" fill=\"" + hex(color) +
           "\">" + escaped(words) + "</text>\n";
}

void SvgCanvas::upward_text(double x, double y, const std::string& words, double size,
                            Color color) {
  body_ += "<text transform=\"translate(" + num(x) + " " + num(y) + ") rotate(-90)\" font-size=\"" +
           num(size) + "\" text-anchor=\"middle\" fill=\"" + hex(color) + "\">" + escaped(words) +
           "</text>\n";
}

double SvgCanvas::text_width(const std::string& words, double size) const {
  return 0.6 * size * static_cast<double>(words.size());
}

}  // namespace attend::cli
