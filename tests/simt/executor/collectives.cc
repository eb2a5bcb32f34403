// What a GPU thread may do beyond its own arithmetic (lane.h).
#include <cstring>

#include "tests/simt/executor/block.h"
#include "tests/simt/executor/sanitizers.h"

namespace attend::simt {
namespace {

// Everything that the group did before it met happens before what it does after.
void barrier(Group& group, Lane& lane, Place at) {
  char* const cell = group.cell();
  release(cell);
  lane.block->meet(group, lane, at);
  acquire(cell);
}

constexpr uint32_t kPatience = 1 << 16;  // atomics of a thread between two barriers

// 16 bytes that the sanitizers see moved at this moment.
void move16(void* to, const void* from) {
  observe_read16(from);
  observe_write16(to);
  std::memcpy(to, from, 16);
}

bool aligned16(const void* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; }

}  // namespace

void block_barrier(Lane& lane, Place at) { barrier(lane.block->whole(), lane, at); }
void warp_barrier(Lane& lane, Place at) { barrier(lane.block->warp_of(lane).group, lane, at); }

uint32_t exchange(Lane& lane, uint32_t word, int from, Place at) {
  Block& block = *lane.block;
  if (from < 0 || from >= block.warp_size()) {
    block.report(lane, text_of(at) + ": lane of the shuffle is " + std::to_string(from) +
                           ", expected 0 to " + std::to_string(block.warp_size() - 1));
    block.stop(lane);
  }
  Warp& warp = block.warp_of(lane);
  const uint32_t* const words = warp.words[warp.group.generation % 2];
  warp.words[warp.group.generation % 2][block.lane_of(lane)] = word;
  block.meet(warp.group, lane, at);
  return words[from];
}

uint64_t ballot(Lane& lane, bool vote, Place at) {
  Block& block = *lane.block;
  Warp& warp = block.warp_of(lane);
  uint64_t& votes = warp.votes[warp.group.generation % 2];
  if (warp.group.arrived == 0) votes = 0;
  votes |= uint64_t{vote} << block.lane_of(lane);
  block.meet(warp.group, lane, at);
  return votes;
}

void* const* bring(Lane& lane, void* mine, Place at) {
  Block& block = *lane.block;
  Warp& warp = block.warp_of(lane);
  block.check_meeting(warp.group, lane, at);
  void** const slots = warp.slots[warp.group.generation % 2];
  slots[block.lane_of(lane)] = mine;
  return warp.group.arrived + 1 == warp.group.size ? slots : nullptr;
}

void meet(Lane& lane, Place at) { lane.block->meet(lane.block->warp_of(lane).group, lane, at); }

void copy16(Lane& lane, void* to, const void* from, bool valid, Place at) {
  Block& block = *lane.block;
  const SharedMemory& shared = block.shared();
  const int64_t offset = shared.offset(reinterpret_cast<uintptr_t>(to));
  const bool inside = offset >= 0 && offset + 16 <= int64_t{shared.bytes()};
  if (!inside)
    block.report(lane, text_of(at) + ": copy16 target is byte " + std::to_string(offset) +
                           " of shared memory, the launch has " + std::to_string(shared.bytes()) +
                           " bytes");
  else if (!aligned16(to) || !aligned16(from))
    block.report(lane, text_of(at) + ": copy16 " + (aligned16(to) ? "source" : "target") +
                           " is not aligned to 16 bytes");
  if (!inside || !aligned16(to) || !aligned16(from)) block.stop(lane);
  Copy& copy = lane.copies.emplace_back(Copy{to, {}});
  if (valid) move16(copy.words, from);
  static constexpr uint32_t kNobody[4] = {~0u, ~0u, ~0u, ~0u};
  move16(to, kNobody);
  ++lane.open_copies;
}

void copy_commit(Lane& lane) {
  lane.groups.push_back(lane.open_copies);
  lane.open_copies = 0;
}

void copy_wait(Lane& lane, int groups_under_way) {
  size_t groups = 0, copies = 0;
  while (lane.groups.size() - groups > static_cast<size_t>(groups_under_way))
    copies += lane.groups[groups++];
  for (size_t i = 0; i < copies; ++i) move16(lane.copies[i].to, lane.copies[i].words);
  lane.copies.erase(lane.copies.begin(), lane.copies.begin() + static_cast<ptrdiff_t>(copies));
  lane.groups.erase(lane.groups.begin(), lane.groups.begin() + static_cast<ptrdiff_t>(groups));
}

// A thread may wait in a loop for what others do: it gives way now and then, but not for ever.
void before_atomic(Lane& lane, Place at) {
  if (++lane.atomics > kPatience) {
    lane.block->report(lane,
                       text_of(at) + ": " + std::to_string(kPatience) +
                           " atomics since the latest barrier; it waits for what no thread does");
    lane.block->stop(lane);
  }
  if (lane.atomics % 64 == 0) lane.block->give_way(lane);
}

// Whoever fenced earlier is seen by whoever fences later: more order than hardware gives without
// the atomic in between, and none without the fence.
void fence() {
  static char cell[8];
  acquire(cell);
  release(cell);
}

}  // namespace attend::simt
