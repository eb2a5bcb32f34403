#pragma once
#include <deque>
#include <string>
#include <vector>

#include "tests/simt/executor/lane.h"
#include "tests/simt/executor/launch.h"
#include "tests/simt/executor/shared_memory.h"
#include "tests/simt/executor/stacks.h"

// A block of a launch while it runs, and the turns that its threads take. A host thread has one, and
// runs block after block on it; the fibers stay.
//
//   turns    a warp takes turns until all of it waits for the block or is done, then the next warp
//   lanes    one after another, each until it waits; then the next pass over the warp
//   shuffle  draws the order of the lanes anew at each pass and leaves a warp now and then
namespace attend::simt {

// Threads that wait for each other.
struct Group {
  int first = 0, size = 0;  // its threads: tid in [first, first + size)
  int arrived = 0, left = 0;
  uint32_t generation = 0;
  Place at{};             // of the first that arrived
  char* cells = nullptr;  // two for release and acquire: of this generation and of the next
  char* cell() const { return cells + generation % 2 * 8; }
};

struct Warp {
  Group group;
  int ready = 0;  // lanes that may take a turn
  // Two sets: a lane that is ahead by one collective does not overwrite what others still read.
  uint32_t words[2][64];
  uint64_t votes[2];
  void* slots[2][64];
};

// What a signal says about the instruction that raised it.
struct Trap {
  int signal = 0;
  bool write = false;
  uintptr_t address = 0;
};

class Block {
 public:
  static constexpr int kMostThreads = 1024;
  static Block& of_this_thread();
  static Block* running();  // on this host thread; null outside kernels

  Block();
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  // Runs every block of a launch. Returns empty, or what went wrong in words.
  std::string run(const Launch& launch);

  // For the functions of lane.h.
  Warp& warp_of(const Lane& lane) { return warps_[static_cast<size_t>(lane.tid / warp_size_)]; }
  int lane_of(const Lane& lane) const { return lane.tid % warp_size_; }
  int warp_size() const { return warp_size_; }
  Group& whole() { return whole_; }
  const SharedMemory& shared() const { return shared_; }
  // Refuses threads that wait for each other at different places, or for one that is gone.
  void check_meeting(const Group& group, const Lane& lane, Place at);
  void meet(Group& group, Lane& lane, Place at);  // returns when all threads of the group have come
  void give_way(Lane& lane);                      // lets the others go on first
  // Ends the launch: first in words, then for good. What holds memory must be gone by then, as
  // nothing on the thread's stack is destroyed.
  void report(const Lane& lane, const std::string& what);
  [[noreturn]] void stop(const Lane& lane);

  // For the signal handler: a thread that may not go on goes on here, on this stack.
  void trapped(const Trap& trap);
  char* emergency_stack() const { return stacks_.emergency(); }
  void stop_by_trap();

 private:
  static void run_lane(void* lane);
  std::string run_block(const Launch& launch, gpu::Index3 index);
  Fiber& fiber_of(Lane& lane) { return lane.fibers[turn_]; }
  int stack_of(const Lane& lane, int turn) const { return lane.tid * Lane::kFibers + turn; }
  void start(Lane& lane, int turn);
  void make_lanes(const Launch& launch);
  void begin_block(const Launch& launch, gpu::Index3 index);
  void begin_pass();
  Lane* next();
  void leave(Lane& lane);
  void finish(Lane& lane);
  void drop_unfinished();
  std::string deadlock() const;
  std::string text_of_trap() const;
  std::string named(const Lane& lane) const;
  uint64_t random();

  const Launch* launch_ = nullptr;
  gpu::Index3 index_{};
  int threads_ = 0, warp_size_ = 0;
  std::deque<Lane> lanes_;
  std::vector<Warp> warps_;
  Group whole_;
  SharedMemory shared_;
  Stacks stacks_;
  Fiber host_;
  int turn_ = 0;  // which of their fibers the lanes run on
  Lane* current_ = nullptr;
  int alive_ = 0;
  std::vector<int> warp_order_, lane_order_;
  size_t warp_at_ = 0, lane_at_ = 0;
  bool gave_way_ = false;
  uint64_t random_ = 1;
  std::string error_;
  Trap trap_;
  char start_cell_[8], end_cell_[8];  // for release and acquire: of a launch
};

std::string text_of(Place place);  // "backends/gpu/body/merge.h:40"

}  // namespace attend::simt
