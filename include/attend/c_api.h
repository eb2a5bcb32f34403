#pragma once

/* attend for other languages: every operator behind plain C types.
 *
 *   attend_tensor q, k, v, out;
 *   int64_t q_shape[4] = {1, 4, 2, 64}, k_shape[4] = {1, 4, 1, 64};
 *   attend_contiguous(&q, q_data, ATTEND_F32, 4, q_shape);    and so on for k, v and out
 *   attend_call* call = attend_call_create("flash");
 *   attend_call_set_tensor(call, "q", &q);                    and so on
 *   attend_call_set_bool(call, "causal", 1);
 *   if (attend_call_run(call, NULL) != ATTEND_OK) puts(attend_last_error_message());
 *   attend_call_destroy(call);
 *
 * Words     A call is described by words, named as the fields of AttentionArgs and AttentionParams
 *           (attention_params.h), GdnArgs and GdnParams (gdn_params.h) and MergeArgs (kernel.h),
 *           whose comments give shapes, dtypes, units and defaults; attend_list_words lists them.
 *           A word that is not set has its default. Calls may be set once and run many times.
 * Ownership Tensors are views: the library copies the description and never the memory, which must
 *           stay valid until the calls that use it have run. Text that a function returns is the
 *           library's; each function says how long it stays.
 * Errors    Functions return ATTEND_OK or why not, and then attend_last_error() and
 *           attend_last_error_message() tell it in words, on this thread, until its next failure.
 *           Success leaves them as they are. Null pointers are refused, except where said. No
 *           exception leaves a function; callbacks must return normally.
 * Threads   Every function may be called from any thread. One call object is used by one thread at
 *           a time; different ones do not know each other.
 * Not here  ring_transport, whose ranks need more than one object: attend/ring.h, C++ alone so far.
 *           "ring" runs as a scan in one process without it. */

/* The forms and names are those of C. NOLINTBEGIN(modernize-*,readability-identifier-naming) */

#include <stdint.h>

#include "attend/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when a function or the meaning of one changes; structs never change within a version. */
#define ATTEND_C_API_VERSION 1
ATTEND_API uint32_t attend_c_api_version(void); /* of the library that runs */
ATTEND_API const char* attend_version(void);    /* "0.1.0"; stays for ever */

/* --- errors ---------------------------------------------------------------------------------- */

typedef enum attend_error_code { /* numbered as attend::ErrorCode */
                                 ATTEND_OK = 0,
                                 ATTEND_INVALID_ARGUMENT =
                                     1, /* tensors or words contradict each other */
                                 ATTEND_UNSUPPORTED = 2, /* a legal call that no kernel takes */
                                 ATTEND_BACKEND_UNAVAILABLE =
                                     3, /* backend not built, plugin not found, or no such device */
                                 ATTEND_DEVICE_ERROR =
                                     4, /* driver, launch or copy failure, with the vendor's text */
                                 ATTEND_NO_METADATA = 5,
                                 ATTEND_OUT_OF_RANGE =
                                     6, /* an index, length or page id lies outside its tensor */
                                 ATTEND_OUT_OF_MEMORY = 7
} attend_error_code;

ATTEND_API const char* attend_error_name(int32_t code); /* "invalid_argument"; for ever */

/* Of the last function that failed on this thread; ATTEND_OK and "" before the first. The text is
 * "<where>: <argument> <property> is <got>, expected <want>[; what to do]" and stays until the next
 * failure on this thread. */
ATTEND_API attend_error_code attend_last_error(void);
ATTEND_API const char* attend_last_error_message(void);

/* --- tensors --------------------------------------------------------------------------------- */

typedef enum attend_dtype { /* numbered as attend::DType */
                            ATTEND_F32 = 0,
                            ATTEND_F16 = 1,
                            ATTEND_BF16 = 2,
                            ATTEND_F8_E4M3 = 3,
                            ATTEND_F8_E5M2 = 4,
                            ATTEND_I8 = 5,
                            ATTEND_I32 = 6,
                            ATTEND_I64 = 7,
                            ATTEND_BOOL = 8
} attend_dtype;

typedef enum attend_device_type { /* numbered as DLPack numbers them */
                                  ATTEND_NATIVE = 1,
                                  ATTEND_CUDA = 2,
                                  ATTEND_ROCM = 10
} attend_device_type;

#define ATTEND_MAX_RANK 5

/* A strided view. data is the address of element [0, ..., 0]; strides are in elements, any: 0
 * broadcasts, negative walks backwards. Entries from rank on are not read. */
typedef struct attend_tensor {
  void* data;
  int32_t dtype;        /* attend_dtype */
  int32_t device_type;  /* attend_device_type */
  int32_t device_index; /* 0..32767 */
  int32_t rank;         /* 0..ATTEND_MAX_RANK */
  int64_t shape[ATTEND_MAX_RANK];
  int64_t strides[ATTEND_MAX_RANK];
} attend_tensor;

/* Describes row-major memory on native; dtype is an attend_dtype; shape has `rank` entries and may be null if that is 0.
 *   errors   ATTEND_INVALID_ARGUMENT: no such dtype or rank, a negative size */
ATTEND_API attend_error_code attend_contiguous(attend_tensor* tensor, void* data, int32_t dtype,
                                               int32_t rank, const int64_t* shape);

/* --- calls ----------------------------------------------------------------------------------- */

typedef struct attend_call attend_call;

/* A call of an operator by its name or alias: vanilla, flash, paged, splash, decode, sdpa, ring,
 * gdn, merge, append. Null, with the last error set, if there is no such operator. */
ATTEND_API attend_call* attend_call_create(const char* op);
ATTEND_API void attend_call_destroy(attend_call* call); /* null is fine */
/* As it was created. */
ATTEND_API attend_error_code attend_call_reset(attend_call* call);

/* Sets a word. Every word has one kind (attend_list_words):
 *   tensor   set_tensor; a null tensor unsets it
 *   bool     set_bool; 0 is false, all else true
 *   int      set_int
 *   bits     set_int: 64 unsigned bits (dropout_seed, dropout_offset), taken as they are
 *   float    set_float
 *   enum     set_string: diagonal bottom_right | top_left | operator_default; mask_with_bias unset
 *            | both | bias_only; scores_stage scaled | capped | masked; ring_placement contiguous |
 *            zigzag
 *   errors   ATTEND_INVALID_ARGUMENT: no such word in this operator, another kind, a value that the
 *            field cannot hold, a tensor with no such dtype, device or rank; the word is as it was.
 *            What the values mean together is checked when the call runs. */
ATTEND_API attend_error_code attend_call_set_tensor(attend_call* call, const char* word,
                                                    const attend_tensor* tensor);
ATTEND_API attend_error_code attend_call_set_bool(attend_call* call, const char* word,
                                                  int32_t value);
ATTEND_API attend_error_code attend_call_set_int(attend_call* call, const char* word,
                                                 int64_t value);
ATTEND_API attend_error_code attend_call_set_float(attend_call* call, const char* word,
                                                   double value);
ATTEND_API attend_error_code attend_call_set_string(attend_call* call, const char* word,
                                                    const char* value);
/* Gives a word of any kind its default again. */
ATTEND_API attend_error_code attend_call_unset(attend_call* call, const char* word);

/* init_bias of the attention operators: make(user) is asked for a bias when a call runs without
 * keep and bias, on the thread that runs it; also by supports and explain. What it returns must
 * stay valid until they return; null is an error of the call. A null make unsets it. */
typedef const attend_tensor* (*attend_init_bias)(void* user);
ATTEND_API attend_error_code attend_call_set_init_bias(attend_call* call, attend_init_bias make,
                                                       void* user);

/* Where and how the call runs (ExecContext, kernel.h); none is needed.
 *   stream      cudaStream_t or hipStream_t, null = the default stream
 *   workspace   scratch on the call's device, 64-byte aligned; null and 0 = the library's own
 *   parallel    native: runs body(context, task, worker) for every task in [0, tasks), in any
 *               order, on any threads, and returns when all are done; 0 <= worker < workers, no two
 *               tasks at once under one worker number. Null = the library's own threads
 *   indices     whether device kernels check what index tensors hold: 0 no, 1 yes, -1 as built
 *   error_word  where they record the first bad index, in device-visible memory; null = nowhere */
typedef void (*attend_parallel_for)(void* user, int64_t tasks,
                                    void (*body)(void* context, int64_t task, int32_t worker),
                                    void* context);
typedef struct attend_error_word {
  int32_t code;     /* attend_error_code; 0 = nothing happened */
  int32_t argument; /* which tensor, as attend::ErrorArgument numbers them */
  int64_t position; /* flat position of the index in its tensor */
  int64_t value;    /* what stood there; of f32 the bits */
  int32_t rule;     /* what was expected, as attend::ErrorRule numbers it; with it go */
  int32_t reserved;
  int64_t told, bound, inner[3];
} attend_error_word;
ATTEND_API attend_error_code attend_call_set_stream(attend_call* call, void* stream);
ATTEND_API attend_error_code attend_call_set_workspace(attend_call* call, void* workspace,
                                                       uint64_t bytes);
ATTEND_API attend_error_code attend_call_set_parallel_for(attend_call* call,
                                                          attend_parallel_for run, void* user,
                                                          int32_t workers);
ATTEND_API attend_error_code attend_call_set_check_indices(attend_call* call, int32_t check);
ATTEND_API attend_error_code attend_call_set_error_word(attend_call* call, attend_error_word* word);

/* Runs the call: on "native", "cuda" or "rocm", there or not at all; null = where the tensors live.
 *   errors   what the C++ operator throws: ATTEND_INVALID_ARGUMENT and ATTEND_OUT_OF_RANGE before
 *            any byte is written, ATTEND_UNSUPPORTED with every kernel's reason,
 *            ATTEND_BACKEND_UNAVAILABLE, ATTEND_DEVICE_ERROR, ATTEND_OUT_OF_MEMORY */
ATTEND_API attend_error_code attend_call_run(attend_call* call, const char* device);
/* The same by one kernel, "flash/native/portable". */
ATTEND_API attend_error_code attend_call_run_kernel(attend_call* call, const char* kernel);

/* What ran last: "flash/native/avx2", and why it is another operator's where one fell back (else
 * ""). Both are "" before the first run and after a failed one, and stay for ever. */
ATTEND_API const char* attend_call_kernel(const attend_call* call);
ATTEND_API const char* attend_call_note(const attend_call* call);

/* Waits for the call's stream and returns what the error word holds. */
ATTEND_API attend_error_code attend_call_check(const attend_call* call);

/* Whether the call would run there (null: where the tensors live): ATTEND_OK, and the kernel's name
 * in *kernel if that is not null; or the error that running it would give. Writes no tensor. */
ATTEND_API attend_error_code attend_call_supports(const attend_call* call, const char* device,
                                                  const char** kernel);

/* What every kernel answers, in the order in which they are asked: code ATTEND_OK or the reason in
 * words. kernel stays for ever, message until the callback returns. A call that fails the
 * operator's own checks is an error, as of attend_call_run. */
typedef void (*attend_on_answer)(void* user, const char* kernel, attend_error_code code,
                                 const char* message);
ATTEND_API attend_error_code attend_call_explain(const attend_call* call, const char* device,
                                                 attend_on_answer answer, void* user);

/* --- what there is --------------------------------------------------------------------------- */

/* Each lists by calling back, once an entry. The entry and, where not said otherwise, its text stay
 * until the callback returns. */

typedef struct attend_word_info {
  const char* name; /* "window_left" */
  const char* kind; /* "tensor", "bool", "int", "bits", "float", "enum", "callback", "transport" */
  const char* values; /* of an enum, comma-separated; else "" */
  int32_t is_output;  /* a tensor that the call writes */
} attend_word_info;   /* text stays for ever */
typedef void (*attend_on_word)(void* user, const attend_word_info* word);
ATTEND_API attend_error_code attend_list_words(const char* op, attend_on_word each, void* user);

typedef struct attend_operator_info {
  const char* name;     /* "flash" */
  const char* aliases;  /* "flash_attn2", comma-separated, may be "" */
} attend_operator_info; /* text stays for ever */
typedef void (*attend_on_operator)(void* user, const attend_operator_info* op);
ATTEND_API attend_error_code attend_list_operators(attend_on_operator each, void* user);

typedef struct attend_kernel_info {
  const char* op;
  const char* device;          /* "native" */
  const char* name;            /* "flash/native/avx2" */
  const char* summary;         /* what it serves, one line */
  int32_t priority;            /* higher is asked first */
  attend_error_code available; /* on device 0; ATTEND_OK or why not, */
  const char* unavailable;     /* in words; "" if it is */
} attend_kernel_info;
typedef void (*attend_on_kernel)(void* user, const attend_kernel_info* kernel);
/* By operator, then device, highest priority first. */
ATTEND_API attend_error_code attend_list_kernels(attend_on_kernel each, void* user);

typedef struct attend_backend_info {
  const char* name;     /* "native", "cuda" */
  int32_t device_type;  /* attend_device_type */
  int32_t device_count; /* 0 where there is no driver or no device */
  const char* status;   /* "ok", or why there is no device */
  const char* path;     /* of the shared object; "" for what is built in */
} attend_backend_info;
typedef void (*attend_on_backend)(void* user, const attend_backend_info* backend);
ATTEND_API attend_error_code attend_list_backends(attend_on_backend each, void* user);

/* Plugins that were found and could not be used. */
typedef void (*attend_on_load_failure)(void* user, const char* path, const char* reason);
ATTEND_API attend_error_code attend_list_load_failures(attend_on_load_failure each, void* user);

/* Loads a backend plugin, for the life of the process.
 *   errors   ATTEND_BACKEND_UNAVAILABLE: not found, no such symbol, built against other headers */
ATTEND_API attend_error_code attend_load_backend(const char* path);

/* Threads that a native call may use, the caller's included; 0 and the last error where that cannot
 * be told. */
ATTEND_API int32_t attend_num_threads(void);
ATTEND_API attend_error_code attend_set_num_threads(int32_t count); /* 1 or more */
ATTEND_API const char* attend_native_isa(void); /* "avx512_bf16"; stays for ever */

/* NOLINTEND(modernize-*,readability-identifier-naming) */

#ifdef __cplusplus
} /* extern "C" */
#endif
