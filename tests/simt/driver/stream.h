#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "tests/simt/driver/result.h"

// Streams, events, and captures that become graphs. The work of a stream is done in order: at once
// when it is enqueued (ATTEND_SIMT_STREAMS=early, and when that is not set), or as late as a GPU
// may (late), which is when something waits for it.
namespace attend::simt {

using Work = std::function<Result()>;

enum class CaptureMode : int { kGlobal = 0, kThreadLocal = 1, kRelaxed = 2 };

// A capture, and the graph that it becomes: work in an order that any stream may repeat.
struct Graph {
  std::vector<Work> work;
  std::vector<std::shared_ptr<void>> kept;  // what the work uses
  const void* origin = nullptr;             // the stream that began it
  std::thread::id thread;
  CaptureMode mode = CaptureMode::kGlobal;
  bool broken = false;
};

struct Stream {
  std::recursive_mutex mutex;
  std::shared_ptr<Graph> capture;  // null: work is done
  std::deque<Work> waiting;
  uint64_t enqueued = 0, done = 0;
  Result error = Result::kSuccess;  // of work that was done late: told at the next wait
  std::string why;
};

struct Event {
  std::shared_ptr<Stream> stream;  // null until it is recorded
  uint64_t ticket = 0;             // all of the stream's work up to here
  std::shared_ptr<Graph> capture;
};

class Streams {
 public:
  Streams();

  void* create();
  Result destroy(void* stream);
  // kSuccess, or why there is no such stream.
  Result check(void* stream);
  Result enqueue(void* stream, Work work);
  // Enqueues; in a capture, the graph keeps `kept` as long as it lives.
  Result enqueue(void* stream, Work work, std::shared_ptr<void> kept);
  bool capturing(void* stream);
  Result synchronize(void* stream);
  Result synchronize_all();

  Result record(Event& event, void* stream);
  Result wait(void* stream, const Event& event);
  Result synchronize(const Event& event);

  Result begin_capture(void* stream, CaptureMode mode);
  Result end_capture(void* stream, std::shared_ptr<Graph>* graph);
  // The mode of this thread, which says what captures of others forbid it; returns the one before.
  CaptureMode exchange_mode(CaptureMode mode);
  // kSuccess, or that a capture forbids this call, which breaks the capture.
  Result forbidden(const char* what);

 private:
  std::shared_ptr<Stream> find(void* stream);
  std::recursive_mutex& order_of(Stream& stream) { return late_ ? mutex_ : stream.mutex; }
  void catch_up(Stream& stream, uint64_t ticket);
  Result catch_up(Stream& stream);
  Result capture_broken(void* stream, const char* what);

  const bool late_;
  std::recursive_mutex mutex_;
  std::shared_ptr<Stream> default_ = std::make_shared<Stream>();
  std::unordered_map<void*, std::shared_ptr<Stream>> streams_;
  std::vector<std::weak_ptr<Graph>> captures_;  // that are under way
};

}  // namespace attend::simt
