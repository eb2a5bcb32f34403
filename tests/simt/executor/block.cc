#include "tests/simt/executor/block.h"

#include <signal.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "tests/simt/executor/sanitizers.h"

namespace attend::simt {
namespace {

thread_local Block* running_block = nullptr;

std::string text_of(gpu::Index3 i) {
  return "(" + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " + std::to_string(i.z) + ")";
}

bool same(const Place& a, const Place& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() ||
          std::string_view(a.file_name()) == std::string_view(b.file_name()));
}

}  // namespace

std::string text_of(Place place) {
  return place.line() ? std::string(place.file_name()) + ":" + std::to_string(place.line())
                      : "its start";
}

Block& Block::of_this_thread() {
  thread_local Block block;
  return block;
}

Block* Block::running() { return running_block; }

Block::Block() { host_.adopt_caller(); }

Block::~Block() {
  for (Lane& lane : lanes_)
    for (Fiber& fiber : lane.fibers) fiber.end();
}

std::string Block::run(const Launch& launch) {
  make_lanes(launch);
  random_ = launch.order.seed * 0x9e3779b97f4a7c15u | 1;
  const gpu::Index3 grid = launch.grid;
  const int64_t blocks = int64_t{grid.x} * grid.y * grid.z;
  std::vector<int64_t> order(static_cast<size_t>(blocks));
  std::iota(order.begin(), order.end(), 0);
  if (launch.order.kind == Order::Kind::kBackward) std::reverse(order.begin(), order.end());
  if (launch.order.kind == Order::Kind::kShuffled)
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  release(start_cell_);
  std::string error;
  for (size_t i = 0; i < order.size() && error.empty(); ++i) {
    const int64_t at = order[i], plane = int64_t{grid.x} * grid.y;
    error = run_block(launch, {static_cast<int>(at % grid.x), static_cast<int>(at % plane / grid.x),
                               static_cast<int>(at / plane)});
  }
  acquire(end_cell_);
  return error;
}

std::string Block::run_block(const Launch& launch, gpu::Index3 index) {
  begin_block(launch, index);
  running_block = this;
  current_ = next();
  Fiber::switch_to(host_, fiber_of(*current_));
  running_block = nullptr;
  if (error_.empty()) {
    if (const int64_t at = shared_.overwritten())
      error_ = launch.kernel->name() + (": block " + text_of(index)) +
               ": shared memory was written at byte " + std::to_string(at) + ", the launch has " +
               std::to_string(launch.shared_bytes) + " bytes";
  }
  if (alive_) drop_unfinished();
  return std::exchange(error_, {});
}

void Block::start(Lane& lane, int turn) {
  const int stack = stack_of(lane, turn);
  stacks_.renew(stack);
  lane.fibers[turn].start(stacks_.of(stack), Stacks::kBytes, run_lane, &lane);
}

void Block::make_lanes(const Launch& launch) {
  const auto threads = static_cast<size_t>(launch.threads);
  for (size_t i = lanes_.size(); i < threads; ++i) {
    Lane& lane = lanes_.emplace_back();
    lane.block = this;
    lane.tid = static_cast<int>(i);
    for (int turn = 0; turn < Lane::kFibers; ++turn) start(lane, turn);
  }
  threads_ = launch.threads, warp_size_ = launch.kernel->warp();
  warps_.resize(threads / static_cast<size_t>(warp_size_));
  warp_order_.resize(warps_.size());
  std::iota(warp_order_.begin(), warp_order_.end(), 0);
  lane_order_.resize(static_cast<size_t>(warp_size_));
  std::iota(lane_order_.begin(), lane_order_.end(), 0);
  if (launch.order.kind == Order::Kind::kBackward) {
    std::reverse(warp_order_.begin(), warp_order_.end());
    std::reverse(lane_order_.begin(), lane_order_.end());
  }
}

void Block::begin_block(const Launch& launch, gpu::Index3 index) {
  launch_ = &launch, index_ = index;
  turn_ = (turn_ + 1) % Lane::kFibers;
  shared_.begin(launch.shared_bytes);
  char* cells = shared_.cells();
  whole_ = Group{.size = threads_, .cells = cells};
  for (size_t w = 0; w < warps_.size(); ++w) {
    warps_[w].group =
        Group{.first = static_cast<int>(w) * warp_size_, .size = warp_size_, .cells = cells += 16};
    warps_[w].ready = warp_size_;
  }
  for (int i = 0; i < threads_; ++i) {
    Lane& lane = lanes_[static_cast<size_t>(i)];
    lane.block_index = index;
    lane.shared = shared_.data();
    lane.state = Lane::State::kReady;
    lane.last = Place{};
    lane.atomics = 0;
    lane.copies.clear();
    lane.groups.clear();
    lane.open_copies = 0;
  }
  alive_ = threads_;
  warp_at_ = 0;
  begin_pass();
}

void Block::run_lane(void* arg) {
  Lane& lane = *static_cast<Lane*>(arg);
  Block& block = *lane.block;
  for (;;) {
    acquire(block.start_cell_);
    bool thrown = false;
    try {
      block.launch_->kernel->call(lane, block.launch_->args);
    } catch (...) {
      thrown = true;
    }
    if (thrown) {
      block.report(lane, "throws an exception");
      block.stop(lane);
    }
    block.finish(lane);
  }
}

uint64_t Block::random() {
  random_ ^= random_ << 13, random_ ^= random_ >> 7, random_ ^= random_ << 17;
  return random_;
}

void Block::begin_pass() {
  lane_at_ = 0;
  gave_way_ = false;
  if (launch_->order.kind != Order::Kind::kShuffled) return;
  for (size_t i = lane_order_.size(); i > 1; --i)
    std::swap(lane_order_[i - 1], lane_order_[random() % i]);
}

// The next thread to take a turn; null if none can.
Lane* Block::next() {
  const bool shuffled = launch_->order.kind == Order::Kind::kShuffled;
  for (;;) {
    const Warp& warp = warps_[static_cast<size_t>(warp_order_[warp_at_])];
    while (warp.ready && lane_at_ < lane_order_.size()) {
      Lane& lane = lanes_[static_cast<size_t>(warp.group.first + lane_order_[lane_at_++])];
      if (lane.state == Lane::State::kReady) return &lane;
    }
    const bool stay = warp.ready && !gave_way_ && !(shuffled && random() % 4 == 0);
    begin_pass();
    if (stay) continue;
    const size_t skip = shuffled ? random() % warps_.size() : 0;
    size_t step = 1;
    const auto at = [&] { return (warp_at_ + skip + step) % warps_.size(); };
    while (step <= warps_.size() && !warps_[static_cast<size_t>(warp_order_[at()])].ready) ++step;
    if (step > warps_.size()) return nullptr;
    warp_at_ = at();
  }
}

// Goes on with another thread; returns when it is this one's turn again.
void Block::leave(Lane& lane) {
  Lane* to = next();
  if (to == &lane) return;
  if (!to) error_ = deadlock();
  current_ = to;
  release(end_cell_);  // this may be its last turn
  Fiber::switch_to(fiber_of(lane), to ? fiber_of(*to) : host_);
}

void Block::finish(Lane& lane) {
  lane.state = Lane::State::kDone;
  Warp& warp = warp_of(lane);
  --warp.ready, --alive_;
  for (Group* group : {&warp.group, &whole_}) {
    ++group->left;
    if (!group->arrived) continue;
    report(lane, "leaves the kernel while others wait at " + text_of(group->at));
    stop(lane);
  }
  if (alive_) return leave(lane);
  current_ = nullptr;
  release(end_cell_);
  Fiber::switch_to(fiber_of(lane), host_);
}

void Block::check_meeting(const Group& group, const Lane& lane, Place at) {
  const bool elsewhere = group.arrived && !same(group.at, at);
  if (elsewhere)
    report(lane, "waits at " + text_of(at) + " while others of the same " +
                     (&group == &whole_ ? "block" : "warp") + " wait at " + text_of(group.at));
  else if (group.left)
    report(lane, "waits at " + text_of(at) + ", but " + std::to_string(group.left) + " of " +
                     std::to_string(group.size) + " threads have left the kernel");
  if (elsewhere || group.left) stop(lane);
}

void Block::meet(Group& group, Lane& lane, Place at) {
  check_meeting(group, lane, at);
  lane.last = group.at = at;
  lane.atomics = 0;
  lane.state = Lane::State::kWaiting;
  --warp_of(lane).ready;
  if (++group.arrived == group.size) {
    group.arrived = 0;
    ++group.generation;
    for (int i = group.first; i < group.first + group.size; ++i)
      lanes_[static_cast<size_t>(i)].state = Lane::State::kReady;
    for (int i = group.first; i < group.first + group.size; i += warp_size_)
      warps_[static_cast<size_t>(i / warp_size_)].ready = warp_size_;
    if (&group == &whole_) {  // from the first again
      warp_at_ = 0;
      begin_pass();
    }
  }
  leave(lane);
}

void Block::give_way(Lane& lane) {
  gave_way_ = true;
  leave(lane);
}

// Threads that will never go on: their fibers start anew.
void Block::drop_unfinished() {
  for (Lane& lane : lanes_) {
    if (lane.state == Lane::State::kDone && &lane != current_) continue;
    lane.state = Lane::State::kDone;
    start(lane, turn_);
  }
  alive_ = 0;
}

std::string Block::named(const Lane& lane) const {
  return std::string(launch_->kernel->name()) + ": block " + text_of(index_) + ", thread " +
         std::to_string(lane.tid);
}

void Block::report(const Lane& lane, const std::string& what) {
  error_ = named(lane) + ": " + what;
}

void Block::stop(const Lane& lane) {
  current_ = &lanes_[static_cast<size_t>(lane.tid)];
  alive_ = std::max(alive_, 1);
  release(end_cell_);
  Fiber::switch_to(fiber_of(*current_), host_);
  std::abort();  // not reached: the fiber starts anew
}

std::string Block::deadlock() const {
  std::string text = std::string(launch_->kernel->name()) + ": block " + text_of(index_) +
                     ": deadlock: " + std::to_string(whole_.arrived) +
                     " threads wait for the block";
  if (whole_.arrived) text += " at " + text_of(whole_.at);
  for (size_t w = 0; w < warps_.size(); ++w)
    if (const Group& group = warps_[w].group; group.arrived)
      text += ", " + std::to_string(group.arrived) + " of warp " + std::to_string(w) +
              " for the warp at " + text_of(group.at);
  return text;
}

void Block::trapped(const Trap& trap) {
  trap_ = trap;
  unpoison(stacks_.emergency() - Stacks::kBytes,
           Stacks::kBytes);  // whoever came here last is there yet
}

std::string Block::text_of_trap() const {
  const Lane& lane = *current_;
  if (trap_.signal == SIGFPE) return "divides an integer by zero";
  if (stacks_.below(stack_of(lane, turn_), reinterpret_cast<const void*>(trap_.address)))
    return "needs more than " + std::to_string(Stacks::kBytes) + " bytes of stack";
  const std::string what = trap_.write ? "writes " : "reads ";
  if (shared_.near(trap_.address))
    return what + "shared memory at byte " + std::to_string(shared_.offset(trap_.address)) +
           ", the launch has " + std::to_string(shared_.bytes()) + " bytes";
  if (launch_->describe) return what + launch_->describe(trap_.address);
  return what + "at address " + std::to_string(trap_.address) + ", where nothing is";
}

// Without the address sanitizer, which does not know the stack that this runs on.
__attribute__((no_sanitize("address"))) void Block::stop_by_trap() {
  report(*current_, text_of_trap() + "; after " + text_of(current_->last));
  stop(*current_);
}

}  // namespace attend::simt
