#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "ops/common/mask.h"

namespace attend::cli {

// Splash's plan of one head: tiles that are drawn over the mask.
struct TileGrid {
  int64_t rows = 0, keys = 0;  // of a tile
  int64_t row_tiles = 0, key_tiles = 0;
  std::vector<TileKind> kinds;  // [row_tiles, key_tiles]; empty = no plan

  TileKind at(int64_t i, int64_t j) const { return kinds[static_cast<size_t>(i * key_tiles + j)]; }
  explicit operator bool() const { return !kinds.empty(); }
};

// A mask as cells of tile_q rows x tile_k keys.
struct MaskGrid {
  int64_t rows = 0, keys = 0, tile_q = 1, tile_k = 1;
  int64_t cells_q = 0, cells_k = 0;
  std::vector<double> share;      // [cells_q, cells_k]: of the cell's pairs that are visible
  std::vector<int64_t> position;  // [rows]: p of a row
  std::vector<bool> empty;        // [rows]: sees no key
  int64_t visible = 0;            // pairs
  std::string title, subtitle;
  TileGrid plan;

  double at(int64_t i, int64_t j) const { return share[static_cast<size_t>(i * cells_k + j)]; }
};

// Text: "1" all visible, "+" some, "." none; rows and keys numbered.
std::string mask_text(const MaskGrid& grid);
// The plan alone: "1" a full tile, "+" a partial one, "." one that is skipped.
std::string plan_text(const MaskGrid& grid);
std::string mask_svg(const MaskGrid& grid);
std::string mask_png(const MaskGrid& grid);

}  // namespace attend::cli
