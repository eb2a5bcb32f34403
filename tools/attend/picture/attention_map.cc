#include "tools/attend/picture/attention_map.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/element.h"
#include "tools/attend/picture/svg.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

// Dark to bright, even steps of lightness (viridis).
Color scale_color(double share) {
  static constexpr Color kStops[] = {{68, 1, 84},    {71, 45, 123},  {59, 82, 139},
                                     {44, 114, 142}, {33, 145, 140}, {40, 174, 128},
                                     {94, 201, 98},  {173, 220, 48}, {253, 231, 37}};
  const double at = std::clamp(share, 0.0, 1.0) * 8;
  const int stop = std::min(static_cast<int>(at), 7);
  return mix(kStops[stop], kStops[stop + 1], at - stop);
}

constexpr Color kHidden{226, 229, 234};
constexpr int64_t kMostCells = 160;  // along one side

}  // namespace

std::string attention_map_svg(const AttentionMap& map) {
  const int64_t tile_q = std::max<int64_t>(1, (map.rows + kMostCells - 1) / kMostCells);
  const int64_t tile_k = std::max<int64_t>(1, (map.keys + kMostCells - 1) / kMostCells);
  const int64_t cells_q = (map.rows + tile_q - 1) / tile_q,
                cells_k = (map.keys + tile_k - 1) / tile_k;

  // A cell shows the largest weight in it; -1 where all are 0.
  std::vector<double> cells(static_cast<size_t>(cells_q * cells_k), -1);
  double most = 0;
  bool hidden = false;
  for (int64_t i = 0; i < map.rows; ++i) {
    for (int64_t j = 0; j < map.keys; ++j) {
      const double w = testing::load(map.weights, {map.batch, map.head, i, j});
      double& cell = cells[static_cast<size_t>(i / tile_q * cells_k + j / tile_k)];
      if (w > 0) cell = std::max(cell, w);
      most = std::max(most, std::isfinite(w) ? w : 0);
    }
  }
  const double top = most > 0 ? most : 1;

  const double side =
      std::clamp(600.0 / static_cast<double>(std::max<int64_t>({cells_q, cells_k, 1})), 3.0, 28.0);
  const double plot_w = side * static_cast<double>(cells_k),
               plot_h = side * static_cast<double>(cells_q);
  const double left = 74, above = 96, legend_h = std::max(plot_h, 120.0);
  const double width =
      std::max({left + plot_w + 130, 52 + 8.8 * static_cast<double>(map.title.size()),
                52 + 6.6 * static_cast<double>(map.subtitle.size())});
  SvgCanvas canvas(width, above + legend_h + 34, map.title);
  canvas.text(26, 32, map.title, 16, Anchor::kStart, kInk);
  canvas.text(26, 52, map.subtitle, 12, Anchor::kStart, kFaint);

  canvas.rect(left, above, plot_w, plot_h, kHidden);
  for (int64_t i = 0; i < cells_q; ++i) {
    for (int64_t j = 0; j < cells_k; ++j) {
      const double w = cells[static_cast<size_t>(i * cells_k + j)];
      hidden = hidden || w < 0;
      if (w >= 0)
        canvas.rect(left + side * static_cast<double>(j), above + side * static_cast<double>(i),
                    side, side, scale_color(w / top));
    }
  }
  canvas.frame(left, above, plot_w, plot_h, kFrame);

  const auto tick = [&](int64_t n, int64_t tile, const auto& draw) {
    const int64_t step = std::max(tick_step(n, 16), tile);
    for (int64_t x = 0; x < n; x += step) draw(x, (static_cast<double>(x / tile) + 0.5) * side);
  };
  tick(map.keys, tile_k, [&](int64_t j, double at) {
    canvas.rect(left + at - 0.5, above - 5, 1, 4, kFaint);
    canvas.text(left + at, above - 8, std::to_string(j), 11, Anchor::kMiddle, kInk);
  });
  tick(map.rows, tile_q, [&](int64_t i, double at) {
    canvas.rect(left - 5, above + at - 0.5, 4, 1, kFaint);
    canvas.text(left - 9, above + at + 4, std::to_string(i), 11, Anchor::kEnd, kInk);
  });
  canvas.text(left + plot_w / 2, above - 25, "key j", 12, Anchor::kMiddle, kFaint);
  canvas.upward_text(left - 40, above + plot_h / 2, "query i", 12, kFaint);

  // The scale, brightest on top.
  const double x = left + plot_w + 30, bar_h = std::min(legend_h - (hidden ? 44 : 0), 260.0);
  constexpr int kSteps = 64;
  for (int n = 0; n < kSteps; ++n)
    canvas.rect(x, above + bar_h * n / kSteps, 16, bar_h / kSteps + 0.5,
                scale_color(1 - (n + 0.5) / kSteps));
  canvas.frame(x, above, 16, bar_h, kFrame);
  canvas.text(x, above - 10, "weight", 12, Anchor::kStart, kFaint);
  for (int n = 0; n <= 4; ++n) {
    canvas.rect(x + 17, above + bar_h * n / 4 - 0.5, 4, 1, kFaint);
    canvas.text(x + 24, above + bar_h * n / 4 + 4, number(top * (4 - n) / 4, 2), 11, Anchor::kStart,
                kInk);
  }
  if (hidden) {
    canvas.rect(x, above + bar_h + 20, 16, 16, kHidden);
    canvas.frame(x, above + bar_h + 20, 16, 16, kFrame);
    canvas.text(x + 24, above + bar_h + 32, "exactly 0", 11, Anchor::kStart, kInk);
  }
  return canvas.finish();
}

}  // namespace attend::cli
