#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "attend/tensor.h"

namespace attend::testing {

// Host memory of tensors, mirrored in the memory of a device. Views that share bytes share them
// there, too, and an address keeps its place within 64 bytes. The host never follows an address of
// the device: bytes travel through the backend's own copy.
//   inputs   in allocations of exactly their size, so that the device's checks see the byte beyond
//   written  in guard bands
class DeviceMemory {
 public:
  explicit DeviceMemory(Device device) : device_(device) {}
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // Tells of a tensor in host memory; all of them before upload().
  void add(const char* name, const TensorView& view, bool written);
  void upload();
  // The bytes of all tensors on the host.
  std::vector<std::byte> bytes() const;
  // Those of the tensors that a call writes.
  std::vector<std::byte> written_bytes() const;
  // Other bytes for all of them, as bytes() has told them of tensors laid out alike: on the host and
  // at the same addresses of the device, guard bands anew.
  void replace(const std::vector<std::byte>& bytes);
  // The tensor on the device.
  TensorView mirrored(const TensorView& view) const;
  // Brings everything back. Returns what was written that may not be, in words; empty if nothing.
  std::string download();

 private:
  // Bytes in a row that some tensors have, gaps between their strides included.
  struct Span {
    std::string names;
    std::byte* host = nullptr;
    uint64_t bytes = 0;
    bool written = false;
    std::byte* device = nullptr;  // where it is mirrored
    std::byte* allocation = nullptr;
    uint64_t before = 0, allocated = 0;  // bytes of the allocation before the span, and in all
  };
  static Span span_of(const char* name, const TensorView& view, bool written);
  void send(const Span& s) const;
  void copy(void* to, Device to_device, const void* from, Device from_device, uint64_t bytes) const;

  Device device_;
  std::vector<Span> spans_;
};

}  // namespace attend::testing
