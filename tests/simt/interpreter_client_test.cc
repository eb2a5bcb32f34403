// The stand-in drivers' client of tests/simt/interpreters/serve.py: what it asks, and what it says
// when an interpreter dies, babbles, reports an error or says nothing. A shell script answers in
// place of Python.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/simt/driver/engine.h"

namespace attend::simt {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kFine = "while read -r request; do echo '{\"ok\": true, \"steps\": 5}'; done";

class InterpreterClient : public testing::Test {
 protected:
  void SetUp() override {
    setenv("ATTEND_SIMT_PYTHON", ATTEND_FAKE_INTERPRETER, 1);
    setenv("ATTEND_SIMT_IMAGES", "/images", 1);
  }
  void TearDown() override {
    for (const char* name : {"ATTEND_SIMT_PYTHON", "ATTEND_SIMT_IMAGES", "ATTEND_SIMT_TIMEOUT",
                             "ATTEND_FAKE_INTERPRETER"})
      unsetenv(name);
  }
  // What a launch says while this script is the interpreter. One that is running goes on.
  std::string run(const char* script) {
    setenv("ATTEND_FAKE_INTERPRETER", script, 1);
    return engine->run({.kernel = &kernel,
                        .grid = {3, 2, 1},
                        .threads = 64,
                        .shared_bytes = 4096,
                        .args = {0x01, 0xab, 0xff, 0x00}});
  }

  Arena arena;
  const KernelEntry kernel{"attend_test", 64, 4, 32, nullptr};
  std::unique_ptr<Engine> engine = interpreter_engine("gfx942", arena);
};

TEST_F(InterpreterClient, AsksForALaunch) {
  const std::string file = testing::TempDir() + "attend_requests_" + std::to_string(getpid());
  void* const data = arena.allocate(1000, Arena::Kind::kDevice);
  setenv("ATTEND_FAKE_FILE", file.c_str(), 1);
  EXPECT_EQ(run("echo \"$@\" >\"$ATTEND_FAKE_FILE\"\n"
                "while read -r request; do\n"
                "  printf '%s\\n' \"$request\" >>\"$ATTEND_FAKE_FILE\"\n"
                "  echo '{\"ok\": true}'\n"
                "done"),
            "");
  std::ifstream said(file);
  std::string words, request;
  ASSERT_TRUE(std::getline(said, words) && std::getline(said, request)) << words;
  EXPECT_THAT(words, EndsWith("interpreters/serve.py --engine gfx942 --images /images"));
  const auto asked = nlohmann::json::parse(request);
  const auto want = nlohmann::json{{"arena", "/proc/self/fd/" + std::to_string(arena.file())},
                                   {"base", arena.base()},
                                   {"bytes", Arena::bytes()},
                                   {"allocations", {{reinterpret_cast<uintptr_t>(data), 1000}}},
                                   {"kernel", "attend_test"},
                                   {"grid", {3, 2, 1}},
                                   {"block", 64},
                                   {"shared", 4096},
                                   {"params", "01abff00"}};
  EXPECT_EQ(asked, want);
  std::filesystem::remove(file);
}

TEST_F(InterpreterClient, OneProcessAnswersEveryLaunch) {
  const char* const counts =
      "n=0; while read -r request; do\n"
      "  n=$((n + 1)); echo \"{\\\"ok\\\": false, \\\"error\\\": \\\"launch $n\\\"}\"\n"
      "done";
  EXPECT_EQ(run(counts), "launch 1");
  EXPECT_EQ(run(counts), "launch 2") << "an error in words is an answer like any other";
}

TEST_F(InterpreterClient, OneThatHasEndedIsAnErrorAndTheNextLaunchStartsAnother) {
  EXPECT_THAT(run("exit 3"), StartsWith("the interpreter of gfx942 has ended with status 3"));
  EXPECT_THAT(run("read -r request; exit 4"), HasSubstr("has ended with status 4"));
  EXPECT_THAT(run("read -r request; printf '{\"ok\": '; exit 0"),
              HasSubstr("has ended with status 0"));
  EXPECT_THAT(run("read -r request; kill -9 $$"), HasSubstr("has ended by signal 9"));
  EXPECT_EQ(run(kFine), "");
}

TEST_F(InterpreterClient, OneThatIsNotThereIsAnError) {
  setenv("ATTEND_SIMT_PYTHON", "/no/such/python", 1);
  EXPECT_EQ(run(kFine), "/no/such/python cannot be started");
  setenv("ATTEND_SIMT_PYTHON", ATTEND_FAKE_INTERPRETER, 1);
  EXPECT_EQ(run(kFine), "");
}

TEST_F(InterpreterClient, WhatIsNoAnswerIsShown) {
  for (const char* said : {"Traceback (most recent call last):", "", "[true]", "{\"okay\": true}",
                           "{\"ok\": 1}", "{\"ok\": false}", "{\"ok\": false, \"error\": 7}"}) {
    const std::string script = std::string("while read -r request; do echo '") + said + "'; done";
    EXPECT_THAT(run(script.c_str()),
                AllOf(StartsWith("the interpreter of gfx942 answered '" + std::string(said) + "'"),
                      HasSubstr("expected {\"ok\": true}")));
  }
  EXPECT_EQ(run(kFine), "") << "another one";
}

TEST_F(InterpreterClient, OneThatSaysNothingIsEnded) {
  setenv("ATTEND_SIMT_TIMEOUT", "0.01", 1);
  EXPECT_EQ(run("while read -r request; do printf '{'; done"),
            "the interpreter of gfx942 has not answered for 0.01 seconds and was ended");
  unsetenv("ATTEND_SIMT_TIMEOUT");
  EXPECT_EQ(run(kFine), "");
}

}  // namespace
}  // namespace attend::simt
