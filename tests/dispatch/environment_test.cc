// The environment is read once per process, so each question is put to a process of its own
// (dispatch_probe).
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace {

namespace fs = std::filesystem;

// What the probe prints under these settings ("A=b C=d"); the caller's own settings of attend are
// taken away, and of the plugins beside the library none is loaded unless the settings name it.
std::string probe(const std::string& settings, const std::string& question) {
  const std::string command =
      "env -u ATTEND_DEVICE -u ATTEND_ISA -u ATTEND_BACKEND_PATH "
      "ATTEND_BACKENDS=native " +
      settings + " '" ATTEND_PROBE "' " + question + " 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "popen failed";
  std::string text;
  char buffer[512];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
  EXPECT_EQ(WEXITSTATUS(pclose(pipe)), 0) << command << "\n" << text;
  return text;
}

int count(const std::string& text, const std::string& word) {
  int n = 0;
  for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += word.size()) ++n;
  return n;
}

#define EXPECT_SAYS(text, words) \
  EXPECT_NE((text).find(words), std::string::npos) << "no '" << (words) << "' in: " << (text)

TEST(AttendDevice, FixesWhereForwardGoes) {
  EXPECT_EQ(count(probe("", "forward"), "ran flash/native/"), 2);
  EXPECT_EQ(count(probe("ATTEND_DEVICE=", "forward"), "ran flash/native/"), 2);
  EXPECT_EQ(count(probe("ATTEND_DEVICE=native", "forward"), "ran flash/native/"), 2);
  // Tensors elsewhere are not moved: the call is refused in words.
  const std::string native = probe("ATTEND_DEVICE=native", "forward cuda");
  EXPECT_SAYS(native, "invalid_argument: ");
  EXPECT_SAYS(native, "q is on cuda, expected native");
  const std::string cuda = probe("ATTEND_DEVICE=cuda", "forward native");
  EXPECT_EQ(count(cuda, "ran "), 0) << cuda;
  EXPECT_SAYS(cuda, "cuda");
  const std::string loaded =
      probe("ATTEND_DEVICE=cuda ATTEND_BACKENDS=cuda ATTEND_BACKEND_PATH=" ATTEND_FOLDER,
            "forward native");
  EXPECT_SAYS(loaded, "invalid_argument: ");
  EXPECT_SAYS(loaded, "q is on native, expected cuda");
}

TEST(AttendDevice, UnknownWordIsRefusedOnEveryCall) {
  for (const char* word : {"gpu", "CUDA", "cuda:0"}) {
    const std::string text = probe(std::string("ATTEND_DEVICE=") + word, "forward");
    EXPECT_EQ(count(text, "invalid_argument: "), 2) << text;
    EXPECT_SAYS(text, std::string("ATTEND_DEVICE is '") + word + "'");
    EXPECT_SAYS(text, "native, cuda or rocm");
  }
}

TEST(AttendIsa, IsACeiling) {
  for (const char* level : {"portable", "baseline"}) {
    const std::string settings = std::string("ATTEND_ISA=") + level;
    EXPECT_EQ(probe(settings, "isa"), "isa portable\n");
    EXPECT_EQ(count(probe(settings, "forward"), "ran flash/native/portable"), 2);
  }
  const std::string rows = probe("ATTEND_ISA=portable", "rows");
  EXPECT_SAYS(rows, "row flash/native/portable: yes");
#if defined(__x86_64__)
  EXPECT_EQ(count(rows, ": yes"), 1) << rows;
  // A level that the machine has runs; one that it lacks says so, and the best below it runs.
  for (const char* level : {"avx2", "avx512", "avx512_bf16", "amx_bf16"}) {
    const std::string settings = std::string("ATTEND_ISA=") + level;
    const std::string row = std::string("row flash/native/") + level + ": ";
    const bool has = probe("", "rows").find(row + "yes") != std::string::npos;
    const std::string here = probe(settings, "rows");
    EXPECT_EQ(here.find(row + "yes") != std::string::npos, has) << here;
    if (has)
      EXPECT_EQ(probe(settings, "isa"), std::string("isa ") + level + "\n");
    else
      EXPECT_SAYS(here, row + "this CPU lacks");
  }
  if (probe("", "rows").find("row flash/native/avx512: yes") != std::string::npos) {
    const std::string avx2 = probe("ATTEND_ISA=avx2", "rows");
    EXPECT_SAYS(avx2, "row flash/native/avx512: ATTEND_ISA");
    EXPECT_EQ(count(probe("ATTEND_ISA=avx2", "forward"), "ran flash/native/avx2"), 2);
  }
#endif
}

TEST(AttendIsa, UnknownWordIsRefusedWithTheKnown) {
  for (const char* word : {"sse9", "AVX2", "avx"}) {
    const std::string settings = std::string("ATTEND_ISA=") + word;
    const std::string text = probe(settings, "forward");
    EXPECT_EQ(count(text, "ran "), 0) << text;
    EXPECT_SAYS(text, "ATTEND_ISA");
    EXPECT_SAYS(text, "avx512_bf16");
    EXPECT_SAYS(probe(settings, "isa"), "ATTEND_ISA");
  }
}

TEST(BackendPath, LoadsWhatItFindsAndKeepsWhatFailed) {
  const std::string text =
      probe("ATTEND_BACKENDS=cuda,old,text ATTEND_BACKEND_PATH=/no/such/folder::" ATTEND_FOLDER ":",
            "backends");
  EXPECT_SAYS(text, "backend native ok");
  EXPECT_SAYS(text, "backend cuda ok " ATTEND_FOLDER "/libattend_cuda.so");
  EXPECT_SAYS(text, "failure " ATTEND_FOLDER "/libattend_old.so: load_backend: ");
  EXPECT_SAYS(text, "was built against other headers");
  EXPECT_SAYS(text, "failure " ATTEND_FOLDER "/libattend_text.so: load_backend: ");
  EXPECT_EQ(count(text, "unrelated.so"), 0) << text;
  EXPECT_EQ(count(text, "backend "), 2) << text;
  EXPECT_EQ(count(text, "failure "), 2) << text;
  // A file is no folder; nothing is loaded and nothing fails.
  const std::string file = probe(
      "ATTEND_BACKENDS=old ATTEND_BACKEND_PATH=" ATTEND_FOLDER "/libattend_cuda.so", "backends");
  EXPECT_EQ(count(file, "backend "), 1) << file;
}

TEST(Backends, NamesThoseToLoad) {
  const std::string folder = "ATTEND_BACKEND_PATH=" ATTEND_FOLDER " ATTEND_BACKENDS=";
  for (const char* none : {"native", "cud", "cuda_", ",", "libattend_cuda.so"})
    EXPECT_EQ(count(probe(folder + none, "backends"), "\n"), 1) << none;
  for (const char* one : {"cuda", "native,cuda", "cuda,", "no,cuda,yes"}) {
    const std::string text = probe(folder + one, "backends");
    EXPECT_SAYS(text, "backend cuda ok");
    EXPECT_EQ(count(text, "\n"), 2) << text;
  }
  // Empty is as good as unset: everything that is found.
  const std::string all = probe(folder, "backends");
  EXPECT_SAYS(all, "backend cuda ok " ATTEND_FOLDER "/libattend_cuda.so");
  EXPECT_SAYS(all, "failure " ATTEND_FOLDER "/libattend_old.so");
}

// A folder that is named goes before the plugins beside the library, and the first file counts.
TEST(BackendPath, TheFirstOfAFileNameIsLoaded) {
  const std::string text = probe("ATTEND_BACKENDS=cuda ATTEND_BACKEND_PATH=" ATTEND_FOLDER
                                 ":" ATTEND_FOLDER "/../folder",
                                 "backends");
  EXPECT_SAYS(text, "backend cuda ok " ATTEND_FOLDER "/libattend_cuda.so");
  EXPECT_EQ(count(text, "cuda "), 1) << text;
}

#if ATTEND_SHARED
TEST(BackendPath, PluginsBesideTheLibraryNeedNoSetting) {
  const fs::path folder =
      fs::temp_directory_path() / ("attend_beside_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const fs::path library = ATTEND_LIBRARY;  // libattend.so.0.1.0, found by its soname
  for (const auto& file : fs::directory_iterator(library.parent_path()))
    if (file.path().filename().string().starts_with("libattend.so"))
      fs::copy(file.path(), folder / file.path().filename(), fs::copy_options::copy_symlinks);
  fs::copy(ATTEND_FOLDER "/libattend_cuda.so", folder / "libattend_cuda.so");
  const std::string text =
      probe("ATTEND_BACKENDS=cuda LD_LIBRARY_PATH=" + folder.string(), "backends");
  EXPECT_SAYS(text, "backend cuda ok " + (folder / "libattend_cuda.so").string());
  fs::remove_all(folder);
}
#endif

}  // namespace
