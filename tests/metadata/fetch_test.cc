// Contract 9, first rule: metadata is made current by a scope on the thread and fetched by the
// attention layer.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>

#include "attend/error.h"
#include "attend/metadata.h"
#include "tests/support/thrown.h"

namespace attend {

// In a namespace that a demangled name shows.
struct BlockMetadata : AttnMetadata {
  int blocks = 0;
  std::string_view strategy() const noexcept override { return "block"; }
};
struct OtherMetadata : AttnMetadata {
  std::string_view strategy() const noexcept override { return "other"; }
};

namespace {

using testing::Thrown;
using testing::thrown;

const AttnMetadata* current() {
  try {
    return &fetch_attn_metadata();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kNoMetadata);
    return nullptr;
  }
}

// Every test begins and ends with nothing on its thread.
class Fetch : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(current(), nullptr); }
  void TearDown() override {
    set_fetch_fn_for_attn_metadata({});
    EXPECT_EQ(current(), nullptr);
    EXPECT_FALSE(is_warming_up());
  }
};

TEST_F(Fetch, OutsideAScopeIsAnErrorThatSaysWhatToDo) {
  const Thrown e = thrown([] { fetch_attn_metadata(); });
  EXPECT_EQ(e.code, ErrorCode::kNoMetadata);
  EXPECT_NE(e.what.find("MetadataScope"), std::string::npos) << e.what;
  EXPECT_EQ(thrown([] { fetch_attn_metadata_as<BlockMetadata>(); }).code, ErrorCode::kNoMetadata);
}

TEST_F(Fetch, ScopesNestAndRestore) {
  const AttnMetadata outer;
  const BlockMetadata inner;
  {
    const MetadataScope a(outer);
    EXPECT_EQ(current(), &outer);
    {
      const MetadataScope b(inner);
      EXPECT_EQ(current(), &inner);
      const MetadataScope again(outer);
      EXPECT_EQ(current(), &outer);
    }
    EXPECT_EQ(current(), &outer);
  }
  EXPECT_EQ(current(), nullptr);
}

TEST_F(Fetch, AnExceptionRestores) {
  const AttnMetadata outer, inner;
  const MetadataScope scope(outer);
  try {
    const MetadataScope fails(inner);
    EXPECT_EQ(current(), &inner);
    throw std::runtime_error("a step went wrong");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(current(), &outer);
}

TEST_F(Fetch, TypedFetchGivesTheStrategysOwn) {
  BlockMetadata metadata;
  metadata.blocks = 7;
  const MetadataScope scope(metadata);
  EXPECT_EQ(fetch_attn_metadata_as<BlockMetadata>().blocks, 7);
  EXPECT_EQ(&fetch_attn_metadata_as<AttnMetadata>(), &metadata);
  const Thrown e = thrown([] { fetch_attn_metadata_as<OtherMetadata>(); });
  EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
  EXPECT_NE(e.what.find("'block'"), std::string::npos) << e.what;
  EXPECT_NE(e.what.find("attend::OtherMetadata"), std::string::npos) << e.what;
}

TEST_F(Fetch, ThreadsDoNotSeeEachOther) {
  const AttnMetadata mine;
  const BlockMetadata theirs;
  const MetadataScope scope(mine);
  set_warming_up();
  const AttnMetadata *before = &mine, *within = nullptr, *after = &mine;
  bool warm = true;
  std::thread([&] {
    before = current();
    warm = is_warming_up();
    {
      const MetadataScope inner(theirs);
      within = current();
      set_fetch_fn_for_attn_metadata([&]() -> const AttnMetadata& { return theirs; });
      set_warming_up(false);
    }
    after = current();
  }).join();
  EXPECT_EQ(before, nullptr);
  EXPECT_EQ(within, &theirs);
  EXPECT_EQ(after, nullptr);
  EXPECT_FALSE(warm);
  EXPECT_EQ(current(), &mine);
  EXPECT_TRUE(is_warming_up());
  reset_warming_up();
}

TEST_F(Fetch, AFunctionIsAskedInsteadAndGoesWithItsScope) {
  const AttnMetadata outer, inner, made;
  int asked = 0;
  const FetchFn fetch = [&]() -> const AttnMetadata& {
    ++asked;
    return made;
  };
  {
    const MetadataScope a(outer);
    {
      const MetadataScope b(inner);
      set_fetch_fn_for_attn_metadata(fetch);
      EXPECT_EQ(current(), &made);
      EXPECT_EQ(asked, 1);
    }
    EXPECT_EQ(current(), &outer);  // the scope in which it was installed has ended
    EXPECT_EQ(asked, 1);
    set_fetch_fn_for_attn_metadata(fetch);
    set_fetch_fn_for_attn_metadata({});  // replaced by none: the scope again
    EXPECT_EQ(current(), &outer);
  }
  // Outside any scope it stays until it is replaced, and an inner scope's own metadata counts
  // before it.
  set_fetch_fn_for_attn_metadata(fetch);
  EXPECT_EQ(current(), &made);
  {
    const MetadataScope a(outer);
    EXPECT_EQ(current(), &outer);
  }
  EXPECT_EQ(current(), &made);
}

TEST_F(Fetch, AFunctionsOwnErrorArrives) {
  set_fetch_fn_for_attn_metadata(
      []() -> const AttnMetadata& { throw Error(ErrorCode::kNoMetadata, "the engine is idle"); });
  EXPECT_EQ(thrown([] { fetch_attn_metadata(); }).what, "the engine is idle");
}

TEST_F(Fetch, WarmingUpIsSetAndReset) {
  EXPECT_FALSE(is_warming_up());
  set_warming_up();
  EXPECT_TRUE(is_warming_up());
  set_warming_up(false);
  EXPECT_FALSE(is_warming_up());
  set_warming_up(true);
  reset_warming_up();
  EXPECT_FALSE(is_warming_up());
}

TEST_F(Fetch, AnotherSharedObjectSeesTheSameSlot) {
  void* guest = dlopen(ATTEND_GUEST, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(guest, nullptr) << dlerror();
  using FetchFnPtr = const AttnMetadata* (*)();
  const auto fetch = reinterpret_cast<FetchFnPtr>(dlsym(guest, "guest_fetch"));
  const auto warm = reinterpret_cast<bool (*)()>(dlsym(guest, "guest_is_warming_up"));
  const auto scope_of = reinterpret_cast<const AttnMetadata* (*)(const AttnMetadata*, FetchFnPtr)>(
      dlsym(guest, "guest_scope"));
  EXPECT_EQ(fetch(), nullptr);
  const BlockMetadata mine;
  {
    const MetadataScope scope(mine);
    EXPECT_EQ(fetch(), &mine);
    set_warming_up();
    EXPECT_TRUE(warm());
    reset_warming_up();
  }
  EXPECT_EQ(fetch(), nullptr);
  EXPECT_EQ(scope_of(&mine, current), &mine);
  EXPECT_EQ(current(), nullptr);
}

// One fault at a time in metadata that is otherwise right.
class Validate : public ::testing::Test {
 protected:
  void SetUp() override {
    good.cu_seqlens_q = good.cu_seqlens_k = contiguous(data, DType::kI32, {4});
    good.context_lens = contiguous(data, DType::kI32, {3});
    good.slot_mapping = contiguous(data, DType::kI32, {9});
    good.block_table = contiguous(data, DType::kI32, {3, 2});
    good.page_size = 16;
    EXPECT_NO_THROW(good.validate());
  }
  void expect(const AttnMetadata& bad, const std::string& words) const {
    const MetadataScope outer(good);
    for (const Thrown& e :
         {thrown([&] { bad.validate(); }), thrown([&] { const MetadataScope scope(bad); })}) {
      EXPECT_EQ(e.code, ErrorCode::kInvalidArgument) << words;
      EXPECT_NE(e.what.find(words), std::string::npos) << e.what << "\nwanted " << words;
    }
    EXPECT_EQ(current(), &good);  // the previous metadata stays current
  }
  int32_t data[16] = {};
  AttnMetadata good;
};

TEST_F(Validate, TellsTheFieldWhatItIsAndWhatWasExpected) {
  AttnMetadata bad = good;
  bad.cu_seqlens_q = contiguous(data, DType::kI32, {2, 2});
  expect(bad, "cu_seqlens_q rank is 2, expected 1");
  bad = good;
  bad.slot_mapping = contiguous(data, DType::kF32, {9});
  expect(bad, "slot_mapping dtype is f32, expected i32");
  bad = good;
  bad.block_table = contiguous(data, DType::kI32, {6});
  expect(bad, "block_table rank is 1, expected 2");
  bad = good;
  bad.page_size = 0;
  expect(bad, "page_size is 0, expected 1 or more with block_table");
  bad = good;
  bad.max_seqlen_q = -1;
  expect(bad, "max_seqlen_q is -1");
  bad = good;
  bad.max_seqlen_k = -5;
  expect(bad, "max_seqlen_k is -5");
  bad = good;
  bad.cu_seqlens_q = contiguous(data, DType::kI32, {0});
  expect(bad, "cu_seqlens_q dim 0 is 0");
  bad = good;
  bad.cu_seqlens_k = contiguous(data, DType::kI32, {5});
  expect(bad, "cu_seqlens_k dim 0 is 5, expected 4");
  bad = good;
  bad.context_lens = contiguous(data, DType::kI32, {4});
  expect(bad, "context_lens dim 0 is 4, expected 3");
  bad = good;
  bad.block_table = contiguous(data, DType::kI32, {2, 2});
  expect(bad, "block_table dim 0 is 2, expected 3");
}

TEST_F(Validate, AbsentFieldsAreRight) { EXPECT_NO_THROW(AttnMetadata().validate()); }

TEST_F(Validate, ApplyToHandsOverWhatTheStepMeans) {
  good.max_seqlen_q = 5;
  good.max_seqlen_k = 6;
  SeqLayout layout;
  MaskSpec mask;
  good.apply_to(layout, mask);
  EXPECT_TRUE(mask.causal);
  EXPECT_EQ(layout.cu_seqlens_q.dim(0), 4);
  EXPECT_EQ(layout.cu_seqlens_k.dim(0), 4);
  EXPECT_EQ(layout.context_lens.dim(0), 3);
  EXPECT_EQ(layout.slot_mapping.dim(0), 9);
  EXPECT_EQ(layout.block_table.dim(1), 2);
  EXPECT_EQ(layout.max_seqlen_q, 5);
  EXPECT_EQ(layout.max_seqlen_k, 6);
}

}  // namespace
}  // namespace attend
