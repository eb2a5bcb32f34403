/* The C surface from C11: worked oracles through it, its errors by code and text, nulls everywhere,
 * and what it lists. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static float nan_of(void) { return nanf(""); }

/* The fill rule of the worked oracles: sin(0.7 n + phase). */
static void fill(float* to, int n, double phase) {
  for (int i = 0; i < n; ++i) to[i] = (float)sin(0.7 * i + phase);
}

static attend_tensor tensor(void* data, attend_dtype dtype, int32_t rank, const int64_t* shape) {
  attend_tensor t;
  CHECK_OK(attend_contiguous(&t, data, dtype, rank, shape));
  return t;
}
static attend_tensor tensor4(float* data, int64_t a, int64_t b, int64_t c, int64_t d) {
  const int64_t shape[4] = {a, b, c, d};
  return tensor(data, ATTEND_F32, 4, shape);
}

/* --- O1: batch 1, 2 rows, 3 keys, 1 head, dim 2 ----------------------------------------------- */

typedef struct {
  float q[4], k[6], v[6], out[4], lse[2];
  attend_call* call;
} worked;

static void start_o1(worked* w, const char* op) {
  const int64_t lse_shape[3] = {1, 1, 2};
  fill(w->q, 4, 0.1);
  fill(w->k, 6, 0.5);
  fill(w->v, 6, 0.9);
  for (int i = 0; i < 4; ++i) w->out[i] = nan_of();
  w->lse[0] = w->lse[1] = nan_of();
  w->call = attend_call_create(op);
  CHECK(w->call != NULL);
  attend_tensor q = tensor4(w->q, 1, 2, 1, 2), k = tensor4(w->k, 1, 3, 1, 2),
                v = tensor4(w->v, 1, 3, 1, 2), out = tensor4(w->out, 1, 2, 1, 2),
                lse = tensor(w->lse, ATTEND_F32, 3, lse_shape);
  CHECK_OK(attend_call_set_tensor(w->call, "q", &q));
  CHECK_OK(attend_call_set_tensor(w->call, "k", &k));
  CHECK_OK(attend_call_set_tensor(w->call, "v", &v));
  CHECK_OK(attend_call_set_tensor(w->call, "out", &out));
  CHECK_OK(attend_call_set_tensor(w->call, "lse", &lse));
}

static void expect_o1(const worked* w) {
  static const double kOut[4] = {0.531609, 0.326137, 0.629273, 0.394704};
  for (int i = 0; i < 4; ++i) CHECK_NEAR(w->out[i], kOut[i], 2e-6);
  CHECK_NEAR(w->lse[0], 1.314241, 2e-6);
}

static void attention_runs(const char* op, const char* family) {
  worked w;
  const char* kernel = NULL;
  start_o1(&w, op);
  CHECK_TEXT(attend_call_kernel(w.call), "");
  CHECK_OK(attend_call_supports(w.call, NULL, &kernel));
  CHECK(strncmp(kernel, family, strlen(family)) == 0);
  CHECK(isnan(w.out[0])); /* nothing ran yet */
  CHECK_OK(attend_call_run(w.call, NULL));
  expect_o1(&w);
  CHECK_TEXT(attend_call_kernel(w.call), kernel);
  CHECK_TEXT(attend_call_note(w.call), "");
  memset(w.out, 0xff, sizeof w.out);
  CHECK_OK(attend_call_run(w.call, "native")); /* set once, run again */
  expect_o1(&w);
  memset(w.out, 0xff, sizeof w.out);
  CHECK_OK(attend_call_run_kernel(w.call, kernel));
  expect_o1(&w);
  attend_call_destroy(w.call);
}

/* The inputs of O1 in words: each kind of word changes the result as it must. */
static void words_have_their_effect(void) {
  worked w;
  start_o1(&w, "flash_attn2"); /* an alias */
  CHECK_OK(attend_call_set_bool(w.call, "causal", 1));
  CHECK_OK(attend_call_set_string(w.call, "diagonal", "top_left"));
  CHECK_OK(attend_call_run(w.call, NULL));
  CHECK_NEAR(w.out[0], w.v[0], 1e-7); /* row 0 sees key 0 alone */
  CHECK_NEAR(w.out[1], w.v[1], 1e-7);
  CHECK_OK(attend_call_set_string(w.call, "diagonal", "bottom_right"));
  CHECK_OK(attend_call_set_int(w.call, "window_left", 0));
  CHECK_OK(attend_call_run(w.call, NULL));
  CHECK_NEAR(w.out[0], w.v[2], 1e-7); /* row 0 stands at key 1, row 1 at key 2 */
  CHECK_NEAR(w.out[2], w.v[4], 1e-7);
  CHECK_OK(attend_call_unset(w.call, "window_left"));
  CHECK_OK(attend_call_unset(w.call, "causal"));
  CHECK_OK(attend_call_set_float(w.call, "softmax_scale", 0.0)); /* the mean of all values */
  CHECK_OK(attend_call_run(w.call, NULL));
  CHECK_NEAR(w.out[0], (w.v[0] + w.v[2] + w.v[4]) / 3, 1e-6);
  CHECK_OK(attend_call_unset(w.call, "softmax_scale"));
  CHECK_OK(attend_call_run(w.call, NULL));
  expect_o1(&w);
  CHECK_OK(attend_call_set_tensor(w.call, "lse", NULL)); /* not asked for any more */
  w.lse[0] = nan_of();
  CHECK_OK(attend_call_run(w.call, NULL));
  CHECK(isnan(w.lse[0]));
  CHECK_OK(attend_call_reset(w.call));
  CHECK_TEXT(attend_call_kernel(w.call), "");
  CHECK_REFUSED(attend_call_run(w.call, NULL), ATTEND_INVALID_ARGUMENT,
                "flash: q is absent, expected a tensor");
  attend_call_destroy(w.call);
}

static void strides_count(void) {
  float spread[12];
  worked w;
  start_o1(&w, "vanilla");
  for (int i = 0; i < 6; ++i) spread[2 * i] = w.v[5 - i], spread[2 * i + 1] = nan_of();
  attend_tensor v = tensor4(spread + 10, 1, 3, 1, 2); /* backwards, every second element */
  v.strides[1] = -4;
  v.strides[3] = -2;
  CHECK_OK(attend_call_set_tensor(w.call, "v", &v));
  CHECK_OK(attend_call_run(w.call, NULL));
  expect_o1(&w);
  attend_call_destroy(w.call);
}

/* --- init_bias, parallel_for ------------------------------------------------------------------ */

typedef struct {
  attend_tensor bias;
  int asked;
} bias_maker;

static const attend_tensor* make_bias(void* user) {
  bias_maker* m = user;
  ++m->asked;
  return &m->bias;
}
static const attend_tensor* make_nothing(void* user) {
  (void)user;
  return NULL;
}

static void init_bias_is_asked(void) {
  worked w;
  bias_maker m = {.asked = 0};
  float values[6] = {0, 1, -1, 2, 0, 0.5f}; /* O2, bias only */
  const int64_t shape[2] = {2, 3};
  static const double kOut[4] = {0.701060, 0.344205, 0.719490, 0.805772};
  m.bias = tensor(values, ATTEND_F32, 2, shape);
  start_o1(&w, "vanilla");
  CHECK_OK(attend_call_set_init_bias(w.call, make_bias, &m));
  CHECK_OK(attend_call_run(w.call, NULL));
  CHECK(m.asked == 1);
  for (int i = 0; i < 4; ++i) CHECK_NEAR(w.out[i], kOut[i], 2e-6);
  CHECK_OK(attend_call_set_init_bias(w.call, make_nothing, NULL));
  CHECK_REFUSED(attend_call_run(w.call, NULL), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_init_bias: the bias made is null, expected a pointer");
  CHECK_OK(attend_call_set_init_bias(w.call, NULL, NULL));
  CHECK_OK(attend_call_run(w.call, NULL));
  expect_o1(&w);
  attend_call_destroy(w.call);
}

static void one_by_one(void* user, int64_t tasks, void (*body)(void*, int64_t, int32_t),
                       void* context) {
  *(int64_t*)user += tasks;
  for (int64_t t = tasks; t-- > 0;) body(context, t, 0);
}

static void own_threads_and_workspace_are_used(void) {
  worked w;
  int64_t tasks = 0;
  static _Alignas(64) char workspace[1 << 20];
  start_o1(&w, "flash");
  CHECK_OK(attend_call_set_parallel_for(w.call, one_by_one, &tasks, 1));
  CHECK_OK(attend_call_set_workspace(w.call, workspace, sizeof workspace));
  CHECK_OK(attend_call_set_stream(w.call, NULL));
  CHECK_OK(attend_call_set_check_indices(w.call, 1));
  CHECK_OK(attend_call_run(w.call, NULL));
  expect_o1(&w);
  CHECK(tasks > 0);
  CHECK_REFUSED(attend_call_set_parallel_for(w.call, one_by_one, NULL, 0), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_parallel_for: workers is 0, expected 1 or more");
  CHECK_REFUSED(attend_call_set_workspace(w.call, NULL, 64), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_workspace: workspace is null, expected a pointer");
  tasks = 0;
  CHECK_OK(attend_call_set_parallel_for(w.call, NULL, NULL, 0));
  CHECK_OK(attend_call_run(w.call, NULL));
  CHECK(tasks == 0);
  attend_call_destroy(w.call);
}

/* --- the other operators ----------------------------------------------------------------------- */

static void merge_runs(void) { /* O12 */
  float a[2] = {0.531609f, 0.326137f}, la = 1.314241f, b[2] = {-0.163368f, 0.376256f},
        lb = 0.640849f, out[2] = {nan_of(), nan_of()}, l = nan_of();
  const int64_t lse_shape[3] = {1, 1, 1};
  attend_call* call = attend_call_create("merge");
  struct {
    const char* word;
    float* data;
    int is_lse;
  } words[] = {{"out_a", a, 0},   {"lse_a", &la, 1}, {"out_b", b, 0},
               {"lse_b", &lb, 1}, {"out", out, 0},   {"lse", &l, 1}};
  for (int i = 0; i < 6; ++i) {
    attend_tensor t = words[i].is_lse ? tensor(words[i].data, ATTEND_F32, 3, lse_shape)
                                      : tensor4(words[i].data, 1, 1, 1, 2);
    CHECK_OK(attend_call_set_tensor(call, words[i].word, &t));
  }
  CHECK_OK(attend_call_run(call, "native"));
  CHECK_NEAR(out[0], 0.296889, 2e-6);
  CHECK_NEAR(out[1], 0.343064, 2e-6);
  CHECK_NEAR(l, 1.726334, 2e-6);
  CHECK(strncmp(attend_call_kernel(call), "merge/native/", 13) == 0);
  CHECK_REFUSED(attend_call_set_bool(call, "causal", 1), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_bool: word is 'causal', expected one of out_a, lse_a, out_b, "
                "lse_b, out, lse");
  attend_call_destroy(call);
}

/* Keys and values of O1 stored page by page, in mixed order, and read back by paged. */
static void append_and_paged_agree(void) {
  enum { kPages = 3, kPageSize = 2 };
  float k[kPages * kPageSize * 2], v[kPages * kPageSize * 2];
  worked w;
  int64_t slots[3] = {5, 4, 0}; /* keys 0 and 1 in page 2, backwards, key 2 in page 0 */
  int32_t table[2] = {2, 0}, used[1] = {3};
  const int64_t tokens[1] = {3}, new_shape[3] = {3, 1, 2}, table_shape[2] = {1, 2}, one[1] = {1};
  start_o1(&w, "paged");
  for (int i = 0; i < kPages * kPageSize * 2; ++i) k[i] = v[i] = nan_of();
  /* A slot is page * page_size + offset: rows in the order of the page need slots 4, 5, 0. */
  slots[0] = 4, slots[1] = 5;
  attend_tensor pages_k = tensor4(k, kPages, kPageSize, 1, 2),
                pages_v = tensor4(v, kPages, kPageSize, 1, 2),
                k_new = tensor(w.k, ATTEND_F32, 3, new_shape),
                v_new = tensor(w.v, ATTEND_F32, 3, new_shape),
                slot_mapping = tensor(slots, ATTEND_I64, 1, tokens),
                block_table = tensor(table, ATTEND_I32, 2, table_shape),
                seqused_k = tensor(used, ATTEND_I32, 1, one);
  attend_call* append = attend_call_create("append");
  CHECK_OK(attend_call_set_tensor(append, "k", &pages_k));
  CHECK_OK(attend_call_set_tensor(append, "v", &pages_v));
  CHECK_OK(attend_call_set_tensor(append, "k_new", &k_new));
  CHECK_OK(attend_call_set_tensor(append, "v_new", &v_new));
  CHECK_OK(attend_call_set_tensor(append, "slot_mapping", &slot_mapping));
  CHECK_OK(attend_call_run(append, NULL));
  CHECK(k[8] == w.k[0] && k[11] == w.k[3] && k[0] == w.k[4] && v[1] == w.v[5]);
  CHECK(isnan(k[2]) && isnan(k[7]));
  slots[1] = 4;
  CHECK_REFUSED(attend_call_run(append, NULL), ATTEND_INVALID_ARGUMENT,
                "append: slot_mapping[1] is 4, expected a slot of its own; slot_mapping[0] has it");
  CHECK_TEXT(attend_call_kernel(append), ""); /* after a failed run */
  slots[1] = 6;
  CHECK_REFUSED(attend_call_run(append, NULL), ATTEND_OUT_OF_RANGE,
                "append: slot_mapping[1] is 6, expected below 6 (pages x page_size of k), or "
                "negative");
  attend_call_destroy(append);

  CHECK_OK(attend_call_set_tensor(w.call, "k", &pages_k));
  CHECK_OK(attend_call_set_tensor(w.call, "v", &pages_v));
  CHECK_OK(attend_call_set_tensor(w.call, "block_table", &block_table));
  CHECK_OK(attend_call_set_tensor(w.call, "seqused_k", &seqused_k));
  CHECK_OK(attend_call_run(w.call, NULL));
  expect_o1(&w);
  attend_call_destroy(w.call);
}

/* O14: four tokens of the gated delta rule, one at a time, the state in place. */
static void gdn_runs(void) {
  static const double kOut[8] = {0.422328,  0.498049,  0.462043,  0.255320,
                                 -0.056727, -0.146031, -0.650339, -0.341098};
  static const double kState[4] = {0.714842, 0.589043, 0.273583, 0.405776};
  float q[8], k[8], v[8], g[4] = {-0.1f, -0.5f, -1.0f, -0.05f}, beta[4] = {0.9f, 0.5f, 0.25f, 1.0f},
                          state[4];
  fill(q, 8, 0.1);
  fill(k, 8, 0.5);
  fill(v, 8, 0.9);
  fill(state, 4, 1.6);
  attend_call* call = attend_call_create("gated_delta_net");
  const int64_t gate[3] = {1, 1, 1};
  attend_tensor s = tensor4(state, 1, 1, 2, 2);
  CHECK_OK(attend_call_set_tensor(call, "state", &s));
  CHECK_OK(attend_call_set_bool(call, "normalize_qk", 1));
  for (int t = 0; t < 4; ++t) {
    float out[2] = {nan_of(), nan_of()};
    attend_tensor q_t = tensor4(q + 2 * t, 1, 1, 1, 2), k_t = tensor4(k + 2 * t, 1, 1, 1, 2),
                  v_t = tensor4(v + 2 * t, 1, 1, 1, 2), out_t = tensor4(out, 1, 1, 1, 2),
                  g_t = tensor(g + t, ATTEND_F32, 3, gate),
                  beta_t = tensor(beta + t, ATTEND_F32, 3, gate);
    CHECK_OK(attend_call_set_tensor(call, "q", &q_t));
    CHECK_OK(attend_call_set_tensor(call, "k", &k_t));
    CHECK_OK(attend_call_set_tensor(call, "v", &v_t));
    CHECK_OK(attend_call_set_tensor(call, "g", &g_t));
    CHECK_OK(attend_call_set_tensor(call, "beta", &beta_t));
    CHECK_OK(attend_call_set_tensor(call, "out", &out_t));
    CHECK_OK(attend_call_run(call, NULL));
    for (int d = 0; d < 2; ++d) CHECK_NEAR(out[d], kOut[2 * t + d], 1e-5);
  }
  for (int n = 0; n < 4; ++n) CHECK_NEAR(state[n], kState[n], 1e-5);
  attend_call_destroy(call);
}

/* --- errors ------------------------------------------------------------------------------------ */

static void errors_have_code_and_text(void) {
  worked w;
  start_o1(&w, "flash");
  CHECK_REFUSED(attend_call_set_int(w.call, "softcap", 3), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_int: softcap is an int, expected a float");
  CHECK_REFUSED(attend_call_set_float(w.call, "q", 1), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_float: q is a float, expected a tensor");
  CHECK_REFUSED(attend_call_set_int(w.call, "window_left", INT64_MAX), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_int: window_left is 9223372036854775807, expected an integer of "
                "32 bits");
  CHECK_REFUSED(attend_call_set_string(w.call, "diagonal", "left"), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_string: diagonal is 'left', expected one of "
                "bottom_right,top_left,operator_default");
  CHECK(attend_call_set_bool(w.call, "casual", 1) == ATTEND_INVALID_ARGUMENT);
  CHECK(strncmp(attend_last_error_message(),
                "attend_call_set_bool: word is 'casual', expected one of q, k, v, out, lse, ",
                75) == 0);
  CHECK_REFUSED(attend_call_run(w.call, "toaster"), ATTEND_INVALID_ARGUMENT,
                "attend_call_run: device is 'toaster', expected native, cuda or rocm");
  CHECK(isnan(w.out[0]));
  CHECK_OK(attend_call_run(w.call, NULL)); /* none of these left a trace in the call */
  expect_o1(&w);
  CHECK(attend_last_error() == ATTEND_INVALID_ARGUMENT); /* success leaves the last error */

  attend_tensor k = tensor4(w.k, 1, 3, 1, 2);
  k.shape[3] = 3;
  k.strides[1] = 0;
  CHECK_OK(attend_call_set_tensor(w.call, "k", &k));
  w.out[0] = nan_of();
  CHECK_REFUSED(attend_call_run(w.call, NULL), ATTEND_INVALID_ARGUMENT,
                "flash: k dim 3 is 3, expected 2 (head_dim of q)");
  CHECK_REFUSED(attend_call_supports(w.call, NULL, NULL), ATTEND_INVALID_ARGUMENT,
                "flash: k dim 3 is 3, expected 2 (head_dim of q)");
  CHECK(isnan(w.out[0]));
  k = tensor4(w.k, 1, 3, 1, 2);
  k.dtype = 9;
  CHECK_REFUSED(attend_call_set_tensor(w.call, "k", &k), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_tensor: k dtype is 9, expected one of attend_dtype");
  k.dtype = ATTEND_F32, k.rank = 6;
  CHECK_REFUSED(attend_call_set_tensor(w.call, "k", &k), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_tensor: k rank is 6, expected 0 to 5");
  k.rank = 4, k.device_type = 3;
  CHECK_REFUSED(attend_call_set_tensor(w.call, "k", &k), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_tensor: k device_type is 3, expected one of attend_device_type");
  k.device_type = ATTEND_CUDA, k.device_index = 40000;
  CHECK_REFUSED(attend_call_set_tensor(w.call, "k", &k), ATTEND_INVALID_ARGUMENT,
                "attend_call_set_tensor: k device_index is 40000, expected 0 to 32767");
  CHECK_REFUSED(attend_call_run_kernel(w.call, "flash/native/none"), ATTEND_INVALID_ARGUMENT, NULL);
  attend_call_destroy(w.call);

  CHECK(attend_call_create("flush") == NULL);
  CHECK(attend_last_error() == ATTEND_INVALID_ARGUMENT);
  CHECK(strncmp(attend_last_error_message(),
                "op_from_name: name is 'flush', expected one of vanilla, flash (flash_attn2)",
                75) == 0);
  CHECK_REFUSED(attend_load_backend("/nowhere/libattend_none.so"), ATTEND_BACKEND_UNAVAILABLE,
                NULL);
  CHECK_REFUSED(attend_set_num_threads(0), ATTEND_INVALID_ARGUMENT,
                "set_num_threads: count is 0, expected 1 or more");
  attend_tensor t;
  const int64_t negative[1] = {-1};
  CHECK(attend_contiguous(&t, NULL, ATTEND_F32, 1, negative) == ATTEND_INVALID_ARGUMENT);
  CHECK(attend_contiguous(&t, NULL, ATTEND_F32, 6, negative) == ATTEND_INVALID_ARGUMENT);
  CHECK(attend_contiguous(&t, NULL, 77, 0, NULL) == ATTEND_INVALID_ARGUMENT);
  CHECK_OK(attend_contiguous(&t, NULL, ATTEND_F32, 0, NULL));
  CHECK_TEXT(attend_error_name(ATTEND_OUT_OF_RANGE), "out_of_range");
  CHECK(attend_error_name(77)[0] != 0);
}

static void no_answer(void* user, const char* kernel, attend_error_code code, const char* text) {
  (void)user, (void)kernel, (void)code, (void)text;
}

#define NULL_REFUSED(expression, argument)                                                       \
  do {                                                                                           \
    CHECK((expression) == ATTEND_INVALID_ARGUMENT);                                              \
    CHECK(strstr(attend_last_error_message(), argument " is null, expected a pointer") != NULL); \
  } while (0)

static void nulls_are_refused(void) {
  attend_call* call = attend_call_create("flash");
  attend_tensor t;
  CHECK(attend_call_create(NULL) == NULL);
  CHECK_TEXT(attend_last_error_message(), "attend_call_create: op is null, expected a pointer");
  attend_call_destroy(NULL);
  NULL_REFUSED(attend_contiguous(NULL, NULL, ATTEND_F32, 0, NULL), "tensor");
  NULL_REFUSED(attend_contiguous(&t, NULL, ATTEND_F32, 2, NULL), "shape");
  NULL_REFUSED(attend_call_reset(NULL), "call");
  NULL_REFUSED(attend_call_set_tensor(NULL, "q", NULL), "call");
  NULL_REFUSED(attend_call_set_tensor(call, NULL, NULL), "word");
  NULL_REFUSED(attend_call_set_bool(NULL, "causal", 1), "call");
  NULL_REFUSED(attend_call_set_bool(call, NULL, 1), "word");
  NULL_REFUSED(attend_call_set_int(NULL, "window_left", 1), "call");
  NULL_REFUSED(attend_call_set_int(call, NULL, 1), "word");
  NULL_REFUSED(attend_call_set_float(NULL, "softcap", 1), "call");
  NULL_REFUSED(attend_call_set_float(call, NULL, 1), "word");
  NULL_REFUSED(attend_call_set_string(NULL, "diagonal", "top_left"), "call");
  NULL_REFUSED(attend_call_set_string(call, NULL, "top_left"), "word");
  NULL_REFUSED(attend_call_set_string(call, "diagonal", NULL), "value");
  NULL_REFUSED(attend_call_unset(NULL, "q"), "call");
  NULL_REFUSED(attend_call_unset(call, NULL), "word");
  NULL_REFUSED(attend_call_set_init_bias(NULL, make_nothing, NULL), "call");
  NULL_REFUSED(attend_call_set_stream(NULL, NULL), "call");
  NULL_REFUSED(attend_call_set_workspace(NULL, NULL, 0), "call");
  NULL_REFUSED(attend_call_set_parallel_for(NULL, one_by_one, NULL, 1), "call");
  NULL_REFUSED(attend_call_set_check_indices(NULL, 1), "call");
  NULL_REFUSED(attend_call_set_error_word(NULL, NULL), "call");
  NULL_REFUSED(attend_call_run(NULL, NULL), "call");
  NULL_REFUSED(attend_call_run_kernel(NULL, "flash/native/portable"), "call");
  NULL_REFUSED(attend_call_run_kernel(call, NULL), "kernel");
  NULL_REFUSED(attend_call_check(NULL), "call");
  NULL_REFUSED(attend_call_supports(NULL, NULL, NULL), "call");
  NULL_REFUSED(attend_call_explain(NULL, NULL, no_answer, NULL), "call");
  NULL_REFUSED(attend_call_explain(call, NULL, NULL, NULL), "answer");
  CHECK_TEXT(attend_call_kernel(NULL), "");
  CHECK_TEXT(attend_call_note(NULL), "");
  NULL_REFUSED(attend_list_words(NULL, NULL, NULL), "op");
  NULL_REFUSED(attend_list_words("flash", NULL, NULL), "each");
  NULL_REFUSED(attend_list_operators(NULL, NULL), "each");
  NULL_REFUSED(attend_list_kernels(NULL, NULL), "each");
  NULL_REFUSED(attend_list_backends(NULL, NULL), "each");
  NULL_REFUSED(attend_list_load_failures(NULL, NULL), "each");
  NULL_REFUSED(attend_load_backend(NULL), "path");
  /* init_bias is a word of the attention operators alone. */
  attend_call* merge = attend_call_create("merge");
  CHECK(attend_call_set_init_bias(merge, make_nothing, NULL) == ATTEND_INVALID_ARGUMENT);
  attend_call_destroy(merge);
  attend_call_destroy(call);
}

/* A device kernel's record of a bad index, as attend_call_check tells it. */
static void the_error_word_is_told(void) {
  worked w;
  attend_error_word word = {.code = 0};
  start_o1(&w, "flash");
  CHECK_OK(attend_call_set_error_word(w.call, &word));
  CHECK_OK(attend_call_check(w.call));
  word = (attend_error_word){
      .code = ATTEND_OUT_OF_RANGE, .argument = 5, .position = 7, .value = 912}; /* block_table */
  CHECK(attend_call_check(w.call) == ATTEND_OUT_OF_RANGE);
  CHECK(strstr(attend_last_error_message(), "block_table[7] is 912") != NULL);
  attend_call_destroy(w.call);
}

/* --- lists ------------------------------------------------------------------------------------- */

typedef struct {
  const char* wanted;
  int seen, all;
  char text[160];
} search;

static void on_word(void* user, const attend_word_info* word) {
  search* s = user;
  ++s->all;
  if (strcmp(word->name, s->wanted) != 0) return;
  ++s->seen;
  snprintf(s->text, sizeof s->text, "%s|%s|%d", word->kind, word->values, word->is_output);
}
static void on_operator(void* user, const attend_operator_info* op) {
  search* s = user;
  ++s->all;
  if (strcmp(op->name, s->wanted) == 0)
    ++s->seen, snprintf(s->text, sizeof s->text, "%s", op->aliases);
}
static void on_kernel(void* user, const attend_kernel_info* kernel) {
  search* s = user;
  ++s->all;
  CHECK(strncmp(kernel->name, kernel->op, strlen(kernel->op)) == 0);
  CHECK((kernel->available == ATTEND_OK) == (kernel->unavailable[0] == 0));
  CHECK(kernel->summary[0] != 0);
  if (strcmp(kernel->name, s->wanted) == 0)
    ++s->seen, snprintf(s->text, sizeof s->text, "%s %s", kernel->op, kernel->device);
}
static void on_backend(void* user, const attend_backend_info* backend) {
  search* s = user;
  if (s->all++ == 0)
    snprintf(s->text, sizeof s->text, "%s %d %d %s %s", backend->name, backend->device_type,
             backend->device_count, backend->status, backend->path);
}
static void on_load_failure(void* user, const char* path, const char* reason) {
  (void)user;
  CHECK(path[0] != 0 && reason[0] != 0);
}
static void on_answer(void* user, const char* kernel, attend_error_code code, const char* text) {
  search* s = user;
  ++s->all;
  CHECK((code == ATTEND_OK) == (text[0] == 0));
  if (strcmp(kernel, s->wanted) == 0 && code == ATTEND_OK) ++s->seen;
}

static void expect_word(const char* op, const char* name, const char* text) {
  search s = {.wanted = name};
  CHECK_OK(attend_list_words(op, on_word, &s));
  CHECK(s.seen == 1);
  CHECK_TEXT(s.text, text);
}

static void lists_tell_what_there_is(void) {
  expect_word("flash", "q", "tensor||0");
  expect_word("flash", "out", "tensor||1");
  expect_word("paged", "causal", "bool||0");
  expect_word("sdpa", "window_left", "int||0");
  expect_word("vanilla", "dropout_seed", "bits||0");
  expect_word("decode", "softcap", "float||0");
  expect_word("ring", "diagonal", "enum|bottom_right,top_left,operator_default|0");
  expect_word("ring", "ring_transport", "transport||0");
  expect_word("append", "slot_mapping", "tensor||0");
  expect_word("gdn", "final_state", "tensor||1");
  expect_word("merge", "lse_b", "tensor||0");
  CHECK(attend_list_words("flush", on_word, NULL) == ATTEND_INVALID_ARGUMENT);

  search op = {.wanted = "paged"};
  CHECK_OK(attend_list_operators(on_operator, &op));
  CHECK(op.seen == 1 && op.all == 10);
  CHECK_TEXT(op.text, "paged_attention");
  search kernel = {.wanted = "merge/native/portable"};
  CHECK_OK(attend_list_kernels(on_kernel, &kernel));
  CHECK(kernel.seen == 1 && kernel.all > 4);
  CHECK_TEXT(kernel.text, "merge native");
  search backend = {.wanted = ""};
  CHECK_OK(attend_list_backends(on_backend, &backend));
  CHECK_TEXT(backend.text, "native 1 1 ok ");
  CHECK_OK(attend_list_load_failures(on_load_failure, NULL));

  worked w;
  start_o1(&w, "flash");
  search answers = {.wanted = "flash/native/portable"};
  CHECK_OK(attend_call_explain(w.call, "native", on_answer, &answers));
  CHECK(answers.seen == 1 && answers.all >= 1);
  attend_call_destroy(w.call);

  CHECK(attend_c_api_version() == ATTEND_C_API_VERSION);
  int major = -1, minor = -1, patch = -1;
  CHECK(sscanf(attend_version(), "%d.%d.%d", &major, &minor, &patch) == 3);
  CHECK(attend_native_isa()[0] != 0);
  const int32_t threads = attend_num_threads();
  CHECK(threads >= 1);
  CHECK_OK(attend_set_num_threads(3));
  CHECK(attend_num_threads() == 3);
  CHECK_OK(attend_set_num_threads(threads));
}

int main(void) {
  CHECK(attend_last_error() == ATTEND_OK);
  CHECK_TEXT(attend_last_error_message(), "");
  attention_runs("vanilla", "vanilla/native/");
  attention_runs("flash", "flash/native/");
  words_have_their_effect();
  strides_count();
  init_bias_is_asked();
  own_threads_and_workspace_are_used();
  merge_runs();
  append_and_paged_agree();
  gdn_runs();
  errors_have_code_and_text();
  nulls_are_refused();
  the_error_word_is_told();
  lists_tell_what_there_is();
  printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
