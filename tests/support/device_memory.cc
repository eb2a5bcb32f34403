#include "tests/support/device_memory.h"

#include <algorithm>
#include <cstring>

#include "attend/error.h"
#include "attend/registry.h"

namespace attend::testing {
namespace {

constexpr uint64_t kAlignment = 64, kGuardBytes = 128;
constexpr std::byte kGuard{0xff};  // NaN in every float type

const BackendTable& table_of(Device device) { return Registry::global().backend(device.type); }

}  // namespace

DeviceMemory::~DeviceMemory() {
  for (const Span& s : spans_)
    if (s.allocation != nullptr) {
      const Allocator& from = table_of(device_).allocator;
      from.deallocate(from.user, device_, s.allocation, s.allocated, nullptr);
    }
}

DeviceMemory::Span DeviceMemory::span_of(const char* name, const TensorView& view, bool written) {
  int64_t low = 0, high = 0;
  for (int d = 0; d < view.rank; ++d)
    (view.step(d) < 0 ? low : high) += (view.dim(d) - 1) * view.step(d);
  const int64_t size = size_bytes(view.dtype);
  Span span;
  span.names = name;
  span.host = static_cast<std::byte*>(view.data) + low * size;
  span.bytes = static_cast<uint64_t>((high - low + 1) * size);
  span.written = written;
  return span;
}

void DeviceMemory::add(const char* name, const TensorView& view, bool written) {
  if (!view || view.data == nullptr || view.num_elements() == 0) return;
  Span span = span_of(name, view, written);
  // Spans that share bytes become one.
  for (size_t n = 0; n < spans_.size();) {
    const Span& s = spans_[n];
    if (span.host < s.host + s.bytes && s.host < span.host + span.bytes) {
      std::byte* const end = std::max(span.host + span.bytes, s.host + s.bytes);
      span.host = std::min(span.host, s.host);
      span.bytes = static_cast<uint64_t>(end - span.host);
      span.written |= s.written;
      span.names = s.names + " " + span.names;
      spans_.erase(spans_.begin() + static_cast<std::ptrdiff_t>(n));
      n = 0;
    } else {
      ++n;
    }
  }
  spans_.push_back(std::move(span));
}

void DeviceMemory::copy(void* to, Device to_device, const void* from, Device from_device,
                        uint64_t bytes) const {
  const BackendTable& table = table_of(device_);
  Status s = table.copy(to, to_device, from, from_device, bytes, nullptr);
  if (s) s = table.synchronize(device_, nullptr);
  if (!s) throw Error(s.code, "DeviceMemory: " + to_string(s));
}

void DeviceMemory::upload() {
  const Allocator& from = table_of(device_).allocator;
  for (Span& s : spans_) {
    const uint64_t band = s.written ? kGuardBytes : 0;
    s.before = band + reinterpret_cast<uintptr_t>(s.host) % kAlignment;
    s.allocated = s.before + s.bytes + band;
    s.allocation = static_cast<std::byte*>(
        from.allocate(from.user, device_, s.allocated, kAlignment, nullptr));
    if (s.allocation == nullptr)
      throw Error(ErrorCode::kOutOfMemory,
                  "DeviceMemory: " + std::to_string(s.allocated) + " bytes for " + s.names);
    s.device = s.allocation + s.before;
    send(s);
  }
}

void DeviceMemory::send(const Span& s) const {
  std::vector<std::byte> image(s.allocated, kGuard);
  std::memcpy(image.data() + s.before, s.host, s.bytes);
  copy(s.allocation, device_, image.data(), Device{}, s.allocated);
}

std::vector<std::byte> DeviceMemory::bytes() const {
  std::vector<std::byte> all;
  for (const Span& s : spans_) all.insert(all.end(), s.host, s.host + s.bytes);
  return all;
}

std::vector<std::byte> DeviceMemory::written_bytes() const {
  std::vector<std::byte> all;
  for (const Span& s : spans_)
    if (s.written) all.insert(all.end(), s.host, s.host + s.bytes);
  return all;
}

void DeviceMemory::replace(const std::vector<std::byte>& bytes) {
  if (bytes.size() != this->bytes().size())
    throw Error(ErrorCode::kInvalidArgument, "DeviceMemory: the tensors are not laid out alike");
  const std::byte* from = bytes.data();
  for (const Span& s : spans_) {
    std::memcpy(s.host, from, s.bytes);
    from += s.bytes;
    send(s);
  }
}

TensorView DeviceMemory::mirrored(const TensorView& view) const {
  TensorView there = view;
  there.device = device_;
  if (!view || view.data == nullptr) return there;
  there.data = nullptr;  // nothing to address where there are no elements
  const auto* data = static_cast<const std::byte*>(view.data);
  if (view.num_elements() == 0) return there;
  for (const Span& s : spans_)
    if (data >= s.host && data < s.host + s.bytes) there.data = s.device + (data - s.host);
  return there;
}

std::string DeviceMemory::download() {
  std::string damage;
  for (const Span& s : spans_) {
    std::vector<std::byte> image(s.allocated);
    copy(image.data(), Device{}, s.allocation, device_, s.allocated);
    for (uint64_t n = 0; damage.empty() && n < s.allocated; ++n) {
      if (n == s.before) n += s.bytes;  // the guard bands alone
      if (n < s.allocated && image[n] != kGuard)
        damage = s.names + ": byte " +
                 std::to_string(static_cast<int64_t>(n) - static_cast<int64_t>(s.before)) +
                 " from the start of its memory was written";
    }
    if (s.written)
      std::memcpy(s.host, image.data() + s.before, s.bytes);
    else if (damage.empty() && std::memcmp(s.host, image.data() + s.before, s.bytes) != 0)
      damage = s.names + " was written, and the call only reads it";
  }
  return damage;
}

}  // namespace attend::testing
