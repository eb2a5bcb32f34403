// Where oneDNN is looked for and what is said of it. A process opens it once, so each question is
// put to a process of its own (sdpa_probe).
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace {

std::string probe(const std::string& settings) {
  const std::string command =
      "env -u ATTEND_DEVICE -u ATTEND_ISA -u ATTEND_BACKEND_PATH -u ATTEND_ONEDNN_LIBRARY " +
      settings + " '" ATTEND_PROBE "' 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "popen failed";
  std::string text;
  char buffer[512];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
  EXPECT_EQ(WEXITSTATUS(pclose(pipe)), 0) << command << "\n" << text;
  return text;
}
#define EXPECT_SAYS(text, words) \
  EXPECT_NE((text).find(words), std::string::npos) << "no '" << (words) << "' in: " << (text)

#if ATTEND_ONEDNN_BUILT
const std::string kHere = "ATTEND_ONEDNN_LIBRARY='" ATTEND_ONEDNN_LIBRARY "' ";

// Not the one that would be found elsewhere: the named file or none.
TEST(OneDnnLibrary, ThatIsNamedAndNotThereIsSaidWithItsPath) {
  const std::string text = probe("ATTEND_ONEDNN_LIBRARY=/nowhere/libdnnl.so.3");
  EXPECT_SAYS(text,
              "sdpa/native/onednn: libdnnl.so.3 (oneDNN 3.2 or newer) is not to be opened: "
              "ATTEND_ONEDNN_LIBRARY (/nowhere/libdnnl.so.3: ");
  EXPECT_SAYS(text, "sdpa/native/onednn says: libdnnl.so.3 (oneDNN 3.2 or newer)");
  EXPECT_SAYS(text, "ran sdpa/native/flash");
}

TEST(OneDnnLibrary, ThatIsNoneOfOneDnnSaysWhatItLacks) {
  const std::string text = probe("ATTEND_ONEDNN_LIBRARY=libm.so.6");
  EXPECT_SAYS(text,
              "sdpa/native/onednn: the libdnnl.so.3 that was found has no dnnl_version, "
              "expected oneDNN 3.2 or newer");
  EXPECT_SAYS(text, "ran sdpa/native/flash");
}

TEST(OneDnnLibrary, RunsWhereItIsNamed) {
  const std::string text = probe(kHere);
  EXPECT_SAYS(text, "sdpa/native/onednn: \n");
  EXPECT_SAYS(text, "ran sdpa/native/onednn");
}

#if ATTEND_RUN_PATH  // not in a static library; and the sanitizers' own dlopen does not search it
TEST(OneDnnLibrary, IsFoundByTheRunPathOfTheBuildTree) {
  EXPECT_SAYS(probe(""), "ran sdpa/native/onednn");
}
#endif

TEST(OneDnnLibrary, ObeysTheCeilingOfInstructionSets) {
  const std::string text = probe(kHere + "ATTEND_ISA=portable");
  EXPECT_SAYS(text, "ran sdpa/native/flash");
  EXPECT_SAYS(text, "sdpa/native/onednn says: ");
  EXPECT_SAYS(text, "ATTEND_ISA");
  EXPECT_SAYS(probe(kHere + "ATTEND_ISA=avx2"), "ran sdpa/native/onednn");
}

// f32 is never multiplied as bf16, whatever oneDNN's own environment says. (oneDNN would do so only
// where it gains, on CPUs with AMX.)
TEST(OneDnnLibrary, MultipliesF32AsF32) {
  EXPECT_EQ(probe(kHere + "ONEDNN_DEFAULT_FPMATH_MODE=BF16"), probe(kHere));
}

#else
TEST(OneDnnLibrary, MayBeAbsentFromABuild) {
  const std::string text = probe("");
  EXPECT_SAYS(text, "sdpa/native/onednn: this build has no oneDNN");
  EXPECT_SAYS(text, "ran sdpa/native/flash");
}
#endif

}  // namespace
