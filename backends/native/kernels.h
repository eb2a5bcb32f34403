#pragma once

namespace attend {
class Registry;
namespace native {

// One function an operator: adds its rows.
void add_append(Registry& registry);
void add_decode(Registry& registry);
void add_flash(Registry& registry);
void add_gdn(Registry& registry);
void add_merge(Registry& registry);
void add_paged(Registry& registry);
void add_splash(Registry& registry);
void add_sdpa(Registry& registry);
void add_ring(Registry& registry);
void add_vanilla(Registry& registry);

}  // namespace native
}  // namespace attend
