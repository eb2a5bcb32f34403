#pragma once
#include "tests/simt/driver/stream.h"

// Graphs and their executables as the vendors' calls hand them out: each handle is a share of a
// Graph.
namespace attend::simt {

inline Result end_capture(Streams& streams, void* stream, void** handle) {
  *handle = nullptr;
  std::shared_ptr<Graph> graph;
  const Result r = streams.end_capture(stream, &graph);
  if (r == Result::kSuccess) *handle = new std::shared_ptr<Graph>(std::move(graph));
  return r;
}

inline void* copy_of_graph(void* handle) {
  return new std::shared_ptr<Graph>(*static_cast<std::shared_ptr<Graph>*>(handle));
}

inline Result launch_graph(Streams& streams, void* handle, void* stream) {
  return streams.enqueue(stream, [graph = *static_cast<std::shared_ptr<Graph>*>(handle)] {
    for (const Work& work : graph->work)
      if (const Result r = work(); r != Result::kSuccess) return r;
    return Result::kSuccess;
  });
}

inline int destroy_graph(void* handle) {
  delete static_cast<std::shared_ptr<Graph>*>(handle);
  return 0;
}

}  // namespace attend::simt
