#pragma once
#include <vector>

#include "attend/backend_plugin.h"

// The rows of a plugin, one file an operator. The same files are compiled into both plugins; what a
// row is called and which device it is for comes from the plugin.
namespace attend::gpu {

struct Rows {
  std::vector<AttentionKernel> attention;
  std::vector<GdnKernel> gdn;
  std::vector<MergeKernel> merge;
};

// Defined by the plugin: kCuda or kRocm.
extern const DeviceType kPluginDevice;

// "flash/cuda/portable"; lives as long as the plugin.
const char* row_name(OpId op, const char* implementation);

// Whether the plugin has this device: what `available` of a row without further needs answers.
Status device_available(const Device& device);

// The table of a plugin with these rows; they must live as long as it does.
BackendTable backend_table(const char* name, const Rows& rows);

// Every row of the plugin, rows.cc; one line there for each of these.
Rows all_rows();
void add_tiles(Rows& rows);   // flash, paged, decode, splash, sdpa: exact attention tile by tile
void add_matrix(Rows& rows);  // the same by matrix instructions
void add_vanilla(Rows& rows);
void add_ring(Rows& rows);
void add_gdn(Rows& rows);
void add_merge(Rows& rows);
void add_append(Rows& rows);
void add_vendor(Rows& rows);  // by the plugin: cuDNN on cuda, nothing on rocm

}  // namespace attend::gpu
