#pragma once
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_graph.h>

#include <string>

#include "attend/error.h"
#include "attend/export.h"

// oneDNN, opened at run time: nothing links to it, and whichever libdnnl.so.3 is found serves.
namespace attend::native {

// Every function that is called, under its own name.
#define ATTEND_DNNL_FUNCTIONS(F)                 \
  F(dnnl_version)                                \
  F(dnnl_set_max_cpu_isa)                        \
  F(dnnl_engine_create)                          \
  F(dnnl_stream_create)                          \
  F(dnnl_stream_wait)                            \
  F(dnnl_stream_destroy)                         \
  F(dnnl_memory_desc_create_with_tag)            \
  F(dnnl_memory_desc_get_size)                   \
  F(dnnl_memory_desc_destroy)                    \
  F(dnnl_memory_create)                          \
  F(dnnl_memory_destroy)                         \
  F(dnnl_primitive_attr_create)                  \
  F(dnnl_primitive_attr_destroy)                 \
  F(dnnl_primitive_attr_set_scratchpad_mode)     \
  F(dnnl_matmul_primitive_desc_create)           \
  F(dnnl_primitive_desc_query)                   \
  F(dnnl_primitive_desc_query_md)                \
  F(dnnl_primitive_desc_destroy)                 \
  F(dnnl_primitive_create)                       \
  F(dnnl_primitive_execute)                      \
  F(dnnl_primitive_destroy)                      \
  F(dnnl_graph_logical_tensor_init_with_strides) \
  F(dnnl_graph_op_create)                        \
  F(dnnl_graph_op_destroy)                       \
  F(dnnl_graph_op_add_input)                     \
  F(dnnl_graph_op_add_output)                    \
  F(dnnl_graph_op_set_attr_bool)                 \
  F(dnnl_graph_op_set_attr_s64)                  \
  F(dnnl_graph_graph_create_with_fpmath_mode)    \
  F(dnnl_graph_graph_destroy)                    \
  F(dnnl_graph_add_op)                           \
  F(dnnl_graph_graph_finalize)                   \
  F(dnnl_graph_graph_filter)                     \
  F(dnnl_graph_graph_get_partition_num)          \
  F(dnnl_graph_graph_get_partitions)             \
  F(dnnl_graph_partition_is_supported)           \
  F(dnnl_graph_partition_get_input_ports_num)    \
  F(dnnl_graph_partition_get_input_ports)        \
  F(dnnl_graph_partition_get_output_ports_num)   \
  F(dnnl_graph_partition_get_output_ports)       \
  F(dnnl_graph_partition_compile)                \
  F(dnnl_graph_partition_destroy)                \
  F(dnnl_graph_compiled_partition_create)        \
  F(dnnl_graph_compiled_partition_execute)       \
  F(dnnl_graph_compiled_partition_destroy)       \
  F(dnnl_graph_tensor_create)                    \
  F(dnnl_graph_tensor_destroy)

struct OneDnn {
// NOLINTNEXTLINE(bugprone-macro-parentheses): the name of a member
#define ATTEND_DNNL_POINTER(f) decltype(&::f) f = nullptr;
  ATTEND_DNNL_FUNCTIONS(ATTEND_DNNL_POINTER)
#undef ATTEND_DNNL_POINTER

  Status status;    // kOk, or why there is none: where it was looked for, or what it lacks
  std::string why;  // the words of status where they are not static
  dnnl_engine_t engine = nullptr;

  // OpenMP's number of threads, which is the calling thread's own setting; null in builds of oneDNN
  // without OpenMP.
  int (*omp_get_max_threads)() = nullptr;
  void (*omp_set_num_threads)(int) = nullptr;
  // TBB or SYCL: its threads are its own and cannot be told to stay away.
  bool own_threads = false;

  // Opened on first use and never closed. Searched: the file that ATTEND_ONEDNN_LIBRARY names, and
  // no other; else LD_LIBRARY_PATH, the run path (in the build tree: what was built against), the
  // system's folders, and the folder of libattend.
  // It leaves libattend, so that the engine's products use the library that sdpa has opened.
  ATTEND_API static const OneDnn& get();
};

// While it lives, oneDNN's work on this thread stays on this thread: attend's own threads, or the
// embedding program's, each run a part of the call, and no OpenMP team is ever started.
class OnThisThread {
 public:
  explicit OnThisThread(const OneDnn& dnn) : dnn_(dnn) {
    if (dnn.omp_set_num_threads == nullptr) return;
    before_ = dnn.omp_get_max_threads();
    dnn.omp_set_num_threads(1);
  }
  ~OnThisThread() {
    if (dnn_.omp_set_num_threads != nullptr) dnn_.omp_set_num_threads(before_);
  }
  OnThisThread(const OnThisThread&) = delete;
  OnThisThread& operator=(const OnThisThread&) = delete;

 private:
  const OneDnn& dnn_;
  int before_ = 1;
};

}  // namespace attend::native
