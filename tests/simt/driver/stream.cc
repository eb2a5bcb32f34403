#include "tests/simt/driver/stream.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace attend::simt {
namespace {

thread_local CaptureMode mode_of_thread = CaptureMode::kGlobal;

// The default stream has three names: null, CUDA's "legacy" and "per thread".
bool is_default(const void* stream) { return reinterpret_cast<uintptr_t>(stream) <= 2; }

bool late_by_environment() {
  const char* const word = std::getenv("ATTEND_SIMT_STREAMS");
  return word && std::string_view(word) == "late";
}

}  // namespace

Streams::Streams() : late_(late_by_environment()) {}

void* Streams::create() {
  const std::lock_guard lock(mutex_);
  auto stream = std::make_shared<Stream>();
  void* const handle = stream.get();
  streams_.emplace(handle, std::move(stream));
  return handle;
}

std::shared_ptr<Stream> Streams::find(void* stream) {
  const std::lock_guard lock(mutex_);
  if (is_default(stream)) return default_;
  const auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : found->second;
}

Result Streams::check(void* stream) {
  if (find(stream)) return Result::kSuccess;
  return fail(Result::kInvalidHandle, "stream is not one of this driver's, or was destroyed");
}

Result Streams::destroy(void* stream) {
  if (is_default(stream)) return fail(Result::kInvalidHandle, "the default stream stays");
  if (const Result r = check(stream); r != Result::kSuccess) return r;
  if (capturing(stream)) return fail(Result::kCaptureUnsupported, "the stream is capturing");
  catch_up(*find(stream));
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
  return Result::kSuccess;
}

bool Streams::capturing(void* stream) {
  const std::lock_guard lock(mutex_);
  const auto s = find(stream);
  return s && s->capture;
}

Result Streams::enqueue(void* stream, Work work) { return enqueue(stream, std::move(work), {}); }

Result Streams::enqueue(void* stream, Work work, std::shared_ptr<void> kept) {
  if (const Result r = check(stream); r != Result::kSuccess) return r;
  if (is_default(stream))
    if (const Result r = forbidden("work on the default stream"); r != Result::kSuccess) return r;
  const auto s = find(stream);
  {
    const std::lock_guard lock(mutex_);
    if (const auto graph = s->capture) {
      graph->work.push_back(std::move(work));
      if (kept) graph->kept.push_back(std::move(kept));
      return Result::kSuccess;
    }
  }
  const std::lock_guard order(order_of(*s));
  if (!late_) return work();
  // The default stream waits for all others, and they for it.
  if (s != default_) catch_up(*default_, default_->enqueued);
  if (s == default_)
    for (const auto& [handle, other] : streams_) catch_up(*other, other->enqueued);
  ++s->enqueued;
  s->waiting.push_back([work = std::move(work), kept = std::move(kept)] { return work(); });
  return Result::kSuccess;
}

void Streams::catch_up(Stream& stream, uint64_t ticket) {
  while (stream.done < ticket) {
    const Work work = std::move(stream.waiting.front());
    stream.waiting.pop_front();
    ++stream.done;
    const Result r = work();
    if (r == Result::kSuccess || stream.error != Result::kSuccess) continue;
    stream.error = r;
    stream.why = text_of(r);
  }
}

Result Streams::catch_up(Stream& stream) {
  const std::lock_guard order(order_of(stream));
  catch_up(stream, stream.enqueued);
  const Result r = std::exchange(stream.error, Result::kSuccess);
  return r == Result::kSuccess ? r : fail(r, std::exchange(stream.why, {}));
}

Result Streams::synchronize(void* stream) {
  if (const Result r = check(stream); r != Result::kSuccess) return r;
  if (capturing(stream)) return capture_broken(stream, "synchronisation");
  if (is_default(stream)) return synchronize_all();
  return catch_up(*find(stream));
}

Result Streams::synchronize_all() {
  if (const Result r = forbidden("synchronisation"); r != Result::kSuccess) return r;
  std::vector<std::shared_ptr<Stream>> all{default_};
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [handle, stream] : streams_) all.push_back(stream);
  }
  Result first = Result::kSuccess;
  for (const auto& stream : all)
    if (const Result r = catch_up(*stream); first == Result::kSuccess) first = r;
  return first;
}

Result Streams::record(Event& event, void* stream) {
  if (const Result r = check(stream); r != Result::kSuccess) return r;
  const std::lock_guard lock(mutex_);
  event.stream = find(stream);
  event.ticket = event.stream->enqueued;
  event.capture = event.stream->capture;
  return Result::kSuccess;
}

// A stream that waits for an event of a capture captures into the same graph from then on.
Result Streams::wait(void* stream, const Event& event) {
  if (const Result r = check(stream); r != Result::kSuccess) return r;
  if (!event.stream) return Result::kSuccess;
  const std::lock_guard lock(mutex_);
  const auto s = find(stream);
  if (event.capture || s->capture) {
    if (event.capture && s->capture && event.capture != s->capture)
      return capture_broken(stream, "waiting for another capture");
    if (!event.capture) return capture_broken(stream, "waiting for an event outside the capture");
    s->capture = event.capture;
    return Result::kSuccess;
  }
  if (!late_) return Result::kSuccess;
  return enqueue(stream, [this, other = event.stream, ticket = event.ticket] {
    catch_up(*other, ticket);
    return Result::kSuccess;
  });
}

Result Streams::synchronize(const Event& event) {
  if (event.capture) return fail(Result::kCaptureUnsupported, "the event is of a capture");
  if (!event.stream || !late_) return Result::kSuccess;
  const std::lock_guard order(order_of(*event.stream));
  catch_up(*event.stream, event.ticket);
  return Result::kSuccess;
}

Result Streams::begin_capture(void* stream, CaptureMode mode) {
  if (const Result r = check(stream); r != Result::kSuccess) return r;
  if (is_default(stream))
    return fail(Result::kCaptureUnsupported, "the default stream cannot capture");
  const std::lock_guard lock(mutex_);
  const auto s = find(stream);
  if (s->capture) return fail(Result::kCaptureUnsupported, "the stream is capturing already");
  s->capture = std::make_shared<Graph>();
  s->capture->origin = stream;
  s->capture->thread = std::this_thread::get_id();
  s->capture->mode = mode;
  captures_.push_back(s->capture);
  return Result::kSuccess;
}

Result Streams::end_capture(void* stream, std::shared_ptr<Graph>* graph) {
  if (const Result r = check(stream); r != Result::kSuccess) return r;
  const std::lock_guard lock(mutex_);
  const auto capture = find(stream)->capture;
  if (!capture || capture->origin != stream)
    return fail(Result::kInvalidValue, "the stream has begun no capture");
  for (const auto& [handle, other] : streams_)
    if (other->capture == capture) other->capture = nullptr;
  std::erase_if(captures_, [&](const auto& c) { return c.lock() == capture; });
  if (capture->broken)
    return fail(Result::kCaptureInvalidated, "a forbidden call has broken the capture");
  *graph = capture;
  return Result::kSuccess;
}

CaptureMode Streams::exchange_mode(CaptureMode mode) { return std::exchange(mode_of_thread, mode); }

Result Streams::forbidden(const char* what) {
  if (mode_of_thread == CaptureMode::kRelaxed) return Result::kSuccess;
  const std::lock_guard lock(mutex_);
  for (const auto& weak : captures_) {
    const auto capture = weak.lock();
    if (!capture || capture->mode == CaptureMode::kRelaxed) continue;
    const bool own = capture->thread == std::this_thread::get_id();
    const bool meant_for_all =
        capture->mode == CaptureMode::kGlobal && mode_of_thread == CaptureMode::kGlobal;
    if (!own && !meant_for_all) continue;
    capture->broken = true;
    return fail(Result::kCaptureUnsupported, std::string(what) + " while a stream captures");
  }
  return Result::kSuccess;
}

Result Streams::capture_broken(void* stream, const char* what) {
  const std::lock_guard lock(mutex_);
  if (const auto s = find(stream); s && s->capture) s->capture->broken = true;
  return fail(Result::kCaptureUnsupported, std::string(what) + " of a stream that captures");
}

}  // namespace attend::simt
