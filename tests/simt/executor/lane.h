#pragma once
#include <cstdint>
#include <source_location>
#include <vector>

#include "backends/gpu/call/kernel.h"
#include "tests/simt/executor/fiber.h"
#include "tests/simt/executor/sanitizers.h"

// One GPU thread while it is executed on the host, and what it may do. Whatever a GPU would not
// forgive ends the launch with an error in words (launch.h): these functions do not return then.
namespace attend::simt {

using Place = std::source_location;

class Block;

// A copy on its way from global to shared memory.
struct Copy {
  void* to;
  uint32_t words[4];
};

struct Lane {
  enum class State : uint8_t { kReady, kWaiting, kDone };

  Block* block = nullptr;
  gpu::Index3 block_index{};
  int tid = 0;
  char* shared = nullptr;
  State state = State::kDone;
  // The thread sanitizer gets two to take in turns: a fiber that has met others at a barrier knows
  // all that its block wrote, and would know it in the next block, too.
  static constexpr int kFibers = kThreadSanitizer ? 2 : 1;
  Fiber fibers[kFibers];
  Place last{};                  // the latest barrier or collective
  uint32_t atomics = 0;          // since then
  std::vector<Copy> copies;      // under way, oldest first
  std::vector<uint32_t> groups;  // how many copies each closed group has, oldest first
  uint32_t open_copies = 0;      // of the group that is not closed yet
};

void block_barrier(Lane&, Place);
void warp_barrier(Lane&, Place);

// A word of each lane of the warp; the answer is that of lane `from`.
uint32_t exchange(Lane&, uint32_t word, int from, Place);
uint64_t ballot(Lane&, bool, Place);

// The two halves of a collective: the last lane to bring gets the slots of all, the others null;
// then every lane meets.
void* const* bring(Lane&, void* mine, Place);
void meet(Lane&, Place);

// The source is read at once, the target is undefined (0xff) until copy_wait: as early and as late
// as hardware may.
void copy16(Lane&, void* to, const void* from, bool valid, Place);
void copy_commit(Lane&);
void copy_wait(Lane&, int groups_under_way);

void before_atomic(Lane&, Place);
void fence();

}  // namespace attend::simt
