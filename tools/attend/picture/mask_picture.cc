#include "tools/attend/picture/mask_picture.h"

#include <algorithm>

#include "tools/attend/picture/raster.h"
#include "tools/attend/picture/svg.h"

namespace attend::cli {
namespace {

constexpr Color kVisible{49, 104, 170}, kHidden{236, 239, 243}, kOwn{245, 158, 66},
    kEmpty{205, 62, 62}, kFull{24, 150, 96}, kPartial{232, 126, 30}, kSkip{206, 211, 218};

struct Size {
  double side, left = 74, above = 96, plot_w, plot_h, width, height;
};

Size size_of(const MaskGrid& g) {
  Size s;
  s.side = std::clamp(520.0 / static_cast<double>(std::max<int64_t>({g.cells_q, g.cells_k, 1})),
                      2.0, 26.0);
  s.plot_w = s.side * static_cast<double>(g.cells_k);
  s.plot_h = s.side * static_cast<double>(g.cells_q);
  const auto letters = [](const std::string& text, double each) {
    return 52 + each * static_cast<double>(text.size());
  };
  s.width = std::max({s.left + s.plot_w + 170, letters(g.title, 9.5), letters(g.subtitle, 6.8)});
  s.height = s.above + std::max(s.plot_h, g.plan ? 200.0 : 120.0) + 30;
  return s;
}

// Some visible pairs never look like none, and some hidden ones never like all.
Color cell_color(double share) {
  if (share <= 0) return kHidden;
  return share >= 1 ? kVisible : mix(kHidden, kVisible, 0.25 + 0.5 * share);
}

Color tile_color(TileKind kind) {
  return kind == TileKind::kSkip ? kSkip : kind == TileKind::kFull ? kFull : kPartial;
}
void draw_plan(Canvas& canvas, const MaskGrid& g, const Size& s);

void draw(Canvas& canvas, const MaskGrid& g, const Size& s) {
  canvas.text(26, 32, g.title, 16, Anchor::kStart, kInk);
  canvas.text(26, 52, g.subtitle, 12, Anchor::kStart, kFaint);
  const double gap = s.side >= 8 ? 1 : 0;
  for (int64_t i = 0; i < g.cells_q; ++i) {
    const double y = s.above + s.side * static_cast<double>(i);
    for (int64_t j = 0; j < g.cells_k;) {
      int64_t end = j + 1;  // cells of one colour are one rectangle where no gap parts them
      while (gap == 0 && end < g.cells_k && g.at(i, end) == g.at(i, j)) ++end;
      canvas.rect(s.left + s.side * static_cast<double>(j), y,
                  s.side * static_cast<double>(end - j) - gap, s.side - gap,
                  cell_color(g.at(i, j)));
      j = end;
    }
  }
  bool own = false, empty = false, some = false;
  for (double share : g.share) some = some || (share > 0 && share < 1);
  for (int64_t i = 0; i < g.rows; ++i) {
    const double y = s.above + s.side * static_cast<double>(i / g.tile_q);
    if (g.empty[static_cast<size_t>(i)]) {
      empty = true;
      canvas.rect(s.left + s.plot_w + 4, y, 5, s.side - gap, kEmpty);
    }
    const int64_t p = g.position[static_cast<size_t>(i)];
    if (p < 0 || p >= g.keys || s.side < 6 || g.tile_q > 1 || g.tile_k > 1) continue;
    own = true;
    const double dot = s.side * 0.3;
    canvas.rect(s.left + s.side * (static_cast<double>(p) + 0.5) - dot / 2 - gap / 2,
                y + (s.side - gap - dot) / 2, dot, dot, kOwn);
  }
  draw_plan(canvas, g, s);
  canvas.frame(s.left, s.above, s.plot_w, s.plot_h, kFrame);

  const auto tick = [&](int64_t n, int64_t tile, const auto& mark) {
    const int64_t step = std::max(tick_step(n, 16), tile);
    for (int64_t x = 0; x < n; x += step)
      mark(x, (static_cast<double>(x / tile) + 0.5) * s.side - gap / 2);
  };
  tick(g.keys, g.tile_k, [&](int64_t j, double at) {
    canvas.rect(s.left + at - 0.5, s.above - 5, 1, 4, kFaint);
    canvas.text(s.left + at, s.above - 8, std::to_string(j), 11, Anchor::kMiddle, kInk);
  });
  tick(g.rows, g.tile_q, [&](int64_t i, double at) {
    canvas.rect(s.left - 5, s.above + at - 0.5, 4, 1, kFaint);
    canvas.text(s.left - 9, s.above + at + 4, std::to_string(i), 11, Anchor::kEnd, kInk);
  });
  canvas.text(s.left + s.plot_w / 2, s.above - 25, "key j", 12, Anchor::kMiddle, kFaint);
  canvas.upward_text(s.left - 40, s.above + s.plot_h / 2, "query i", 12, kFaint);

  double y = s.above;
  const auto legend = [&](Color color, const char* words) {
    canvas.rect(s.left + s.plot_w + 30, y, 14, 14, color);
    canvas.text(s.left + s.plot_w + 52, y + 11, words, 12, Anchor::kStart, kInk);
    y += 24;
  };
  legend(kVisible, "visible");
  if (some) legend(cell_color(0.5), "partly");
  legend(kHidden, "hidden");
  if (own) legend(kOwn, "own position");
  if (empty) legend(kEmpty, "row sees no key");
  if (!g.plan) return;
  legend(kFull, "full tile");
  legend(kPartial, "partial tile");
  legend(kSkip, "skipped tile");
}

// Frames of the plan's tiles; a tile's colour is what splash does with it.
void draw_plan(Canvas& canvas, const MaskGrid& g, const Size& s) {
  const double x_scale = s.side / static_cast<double>(g.tile_k),
               y_scale = s.side / static_cast<double>(g.tile_q);
  for (int64_t i = 0; i < g.plan.row_tiles; ++i)
    for (int64_t j = 0; j < g.plan.key_tiles; ++j) {
      const double x = s.left + x_scale * static_cast<double>(j * g.plan.keys),
                   y = s.above + y_scale * static_cast<double>(i * g.plan.rows);
      const double w = std::min(s.plot_w + s.left - x, x_scale * static_cast<double>(g.plan.keys)),
                   h = std::min(s.plot_h + s.above - y, y_scale * static_cast<double>(g.plan.rows));
      const double line = std::clamp(std::min(w, h) / 12, 0.5, 2.0);
      const Color color = tile_color(g.plan.at(i, j));
      canvas.rect(x, y, w, line, color), canvas.rect(x, y + h - line, w, line, color);
      canvas.rect(x, y, line, h, color), canvas.rect(x + w - line, y, line, h, color);
    }
}

}  // namespace

std::string plan_text(const MaskGrid& g) {
  std::string text = g.title + "\n" + g.subtitle + "\n\n";
  if (g.plan.key_tiles > 200)
    return text + "(too many tiles for text; --svg or --png draws them)\n";
  const size_t margin = std::max<size_t>(std::to_string(g.rows).size(), 2);
  for (int64_t i = 0; i < g.plan.row_tiles; ++i) {
    const std::string first = std::to_string(i * g.plan.rows);
    text += std::string(margin - std::min(margin, first.size()), ' ') + first + " ";
    for (int64_t j = 0; j < g.plan.key_tiles; ++j)
      text += g.plan.at(i, j) == TileKind::kSkip   ? " ."
              : g.plan.at(i, j) == TileKind::kFull ? " 1"
                                                   : " +";
    text += "\n";
  }
  return text;
}

std::string mask_svg(const MaskGrid& grid) {
  const Size s = size_of(grid);
  SvgCanvas canvas(s.width, s.height, grid.title);
  draw(canvas, grid, s);
  return canvas.finish();
}

std::string mask_png(const MaskGrid& grid) {
  const Size s = size_of(grid);
  RasterCanvas canvas(s.width, s.height);
  draw(canvas, grid, s);
  return canvas.png();
}

std::string mask_text(const MaskGrid& g) {
  const auto padded = [](int64_t n, size_t width) {
    std::string text = std::to_string(n);
    return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
  };
  const size_t margin = std::max<size_t>(std::to_string(g.rows).size(), 2);
  std::string ruler(margin + 2, ' '), text = g.title + "\n" + g.subtitle + "\n\n";
  for (int64_t j = 0; j < g.cells_k; j += 10) {  // every tenth cell by its first key
    ruler.resize(margin + 2 + static_cast<size_t>(2 * j), ' ');
    ruler += std::to_string(j * g.tile_k);
  }
  text += ruler + "\n";
  for (int64_t i = 0; i < g.cells_q; ++i) {
    text += padded(i * g.tile_q, margin) + " ";
    for (int64_t j = 0; j < g.cells_k; ++j)
      text += g.at(i, j) <= 0 ? " ." : g.at(i, j) >= 1 ? " 1" : " +";
    if (std::all_of(g.empty.begin() + i * g.tile_q,
                    g.empty.begin() + std::min((i + 1) * g.tile_q, g.rows),
                    [](bool e) { return e; }))
      text += "   no key";
    text += "\n";
  }
  return text;
}

}  // namespace attend::cli
