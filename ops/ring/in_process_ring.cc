#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "attend/ring.h"
#include "ops/checks.h"

namespace attend {
namespace {

constexpr const char* kAborted = "the ring was aborted";

// What one rank offers to the next. Its buffer is the receiver's to copy from while it is kTaking:
// until then an abort withdraws it, after that the sender waits for the copy to end.
struct Offer {
  enum class Stage : uint8_t { kNone, kOffered, kTaking };
  Stage stage = Stage::kNone;
  const void* data = nullptr;
  uint64_t bytes = 0;
};

}  // namespace

struct InProcessRing::State {
  class Rank final : public RingTransport {
   public:
    Rank(State& ring, int32_t rank) : ring_(ring), rank_(rank) {}
    int32_t rank() const noexcept override { return rank_; }
    int32_t size() const noexcept override { return static_cast<int32_t>(ring_.ranks.size()); }
    bool reaches(DeviceType device) const noexcept override {
      return device == DeviceType::kNative;
    }
    Status start(const void* send, uint64_t send_bytes, void* receive, uint64_t receive_bytes,
                 void*) override {
      return ring_.start(*this, send, send_bytes, receive, receive_bytes);
    }
    Status wait(void*) override { return ring_.wait(*this); }
    void abort(const char* why) noexcept override { ring_.abort(why); }
    void end() {
      offer_ = {};
      under_way_ = false;
    }

   private:
    friend struct State;
    State& ring_;
    const int32_t rank_;
    Offer offer_;  // to the next rank
    void* receive_ = nullptr;
    uint64_t receive_bytes_ = 0;
    bool under_way_ = false;
  };

  std::vector<std::unique_ptr<Rank>> ranks;
  std::mutex mutex;  // guards what follows and what the ranks hold
  std::condition_variable changed;
  bool aborted = false;
  std::string why = kAborted;  // not changed again while aborted

  explicit State(int32_t n) {
    for (int32_t r = 0; r < n; ++r) ranks.push_back(std::make_unique<Rank>(*this, r));
  }

  Rank& before(const Rank& rank) {
    return *ranks[static_cast<size_t>((rank.rank_ + rank.size() - 1) % rank.size())];
  }
  Status reason() const { return {ErrorCode::kDeviceError, why.c_str(), 0}; }

  Status start(Rank& me, const void* send, uint64_t send_bytes, void* receive,
               uint64_t receive_bytes) {
    const std::lock_guard lock(mutex);
    if (me.under_way_)
      return {ErrorCode::kInvalidArgument,
              "an exchange is under way on this rank, expected wait() before the next start()", 0};
    if (aborted) return reason();
    me.receive_ = receive;
    me.receive_bytes_ = receive_bytes;
    me.under_way_ = true;
    me.offer_ = {Offer::Stage::kOffered, send, send_bytes};
    changed.notify_all();
    return {};
  }

  Status wait(Rank& me) {
    std::unique_lock lock(mutex);
    if (!me.under_way_)
      return {ErrorCode::kInvalidArgument,
              "no exchange is under way on this rank, expected start() before wait()", 0};
    take(me, lock);
    // What this rank has offered is its own again when the next one has it, or can no longer take
    // it.
    changed.wait(lock, [&] {
      return me.offer_.stage == Offer::Stage::kNone ||
             (aborted && me.offer_.stage == Offer::Stage::kOffered);
    });
    me.end();
    return aborted ? reason() : Status{};
  }

  // Copies what the rank before offers.
  void take(Rank& me, std::unique_lock<std::mutex>& lock) {
    Offer& theirs = before(me).offer_;
    changed.wait(lock, [&] { return aborted || theirs.stage == Offer::Stage::kOffered; });
    if (aborted) return;
    if (theirs.bytes != me.receive_bytes_)
      return abort_locked("rank " + std::to_string(me.rank_) + " expects " +
                          std::to_string(me.receive_bytes_) + " bytes and is sent " +
                          std::to_string(theirs.bytes));
    theirs.stage = Offer::Stage::kTaking;
    lock.unlock();
    if (theirs.bytes > 0) std::memcpy(me.receive_, theirs.data, theirs.bytes);
    lock.lock();
    theirs.stage = Offer::Stage::kNone;
    changed.notify_all();
  }

  void abort_locked(std::string reason) {
    if (aborted) return;
    // A Status puts a number in place of {}.
    for (char& letter : reason) letter = letter == '{' ? '(' : letter == '}' ? ')' : letter;
    why = kAborted + (": " + reason);
    aborted = true;
    changed.notify_all();
  }
  void abort(const char* reason) noexcept {
    const std::lock_guard lock(mutex);
    try {
      abort_locked(reason);
    } catch (...) {  // no memory for the words
      aborted = true;
      changed.notify_all();
    }
  }
};

RingTransport::~RingTransport() = default;

InProcessRing::InProcessRing(int32_t ranks) {
  if (ranks < 1)
    throw_invalid("InProcessRing", "ranks is " + std::to_string(ranks) + ", expected 1 or more");
  state_ = std::make_unique<State>(ranks);
}
InProcessRing::~InProcessRing() = default;

int32_t InProcessRing::size() const noexcept { return static_cast<int32_t>(state_->ranks.size()); }

RingTransport* InProcessRing::transport(int32_t rank) {
  if (rank < 0 || rank >= size())
    throw_invalid("InProcessRing", "rank is " + std::to_string(rank) + ", expected 0 to " +
                                       std::to_string(size() - 1));
  return state_->ranks[static_cast<size_t>(rank)].get();
}

void InProcessRing::abort(const char* why) noexcept { state_->abort(why); }

void InProcessRing::reset() {
  const std::lock_guard lock(state_->mutex);
  state_->aborted = false;
  for (const auto& rank : state_->ranks) rank->end();
  state_->why = kAborted;
}

}  // namespace attend
