#pragma once

namespace attend {
class Registry;
namespace native {

void add_sdpa_onednn(Registry& registry);  // sdpa_onednn.cc, or why there is none: sdpa.cc

}  // namespace native
}  // namespace attend
