// Of how many dies a launch of tiles is told, by the architecture of the device: read from the bytes
// that a stand-in driver hands to an interpreter, in whose place a shell script keeps them
// (ATTEND_SIMT_ENGINE names the architecture).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "backends/gpu/call/tiles.h"
#include "tests/support/devices.h"
#include "tests/support/run_row.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

const std::map<std::string, int> kDies = {{"gfx942", 8}, {"gfx90a", 1}, {"sm_90a", 1}};

std::vector<char> bytes_of(const std::string& hex) {
  std::vector<char> bytes;
  for (size_t n = 0; n + 1 < hex.size(); n += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(n, 2), nullptr, 16)));
  return bytes;
}

TEST(Dies, AreThoseOfTheArchitecture) {
  const char* const engine = std::getenv("ATTEND_SIMT_ENGINE");
  const auto dies = kDies.find(engine == nullptr ? "" : engine);
  if (dies == kDies.end() || std::getenv("ATTEND_SIMT") == nullptr)
    GTEST_SKIP() << "no architecture is stood in for (ATTEND_SIMT, ATTEND_SIMT_ENGINE)";
  const std::string file = ::testing::TempDir() + "attend_launches_" + std::to_string(getpid());
  setenv("ATTEND_SIMT_PYTHON", ATTEND_FAKE_INTERPRETER, 1);
  setenv("ATTEND_FAKE_FILE", file.c_str(), 1);
  setenv("ATTEND_FAKE_INTERPRETER",
         "while read -r request; do\n"
         "  printf '%s\\n' \"$request\" >>\"$ATTEND_FAKE_FILE\"; echo '{\"ok\": true}'\n"
         "done",
         1);
  AttentionCase c;
  c.batch = 2, c.seqlen_q = 40, c.seqlen_k = 1100, c.heads = 2, c.kv_heads = 1, c.head_dim = 64;
  c.dtype = DType::kBF16;
  c.seqused_q = true;  // so that some sequences have few rows, whose keys are split
  const CaseTensors t = make_tensors(c);
  int rows = 0;
  for (const AttentionKernel& row : test_rows(OpId::kFlash)) {
    run_row(row, t.args, t.params);
    ++rows;
  }
  int launches = 0;
  std::ifstream requests(file);
  for (std::string line; std::getline(requests, line);) {
    const auto request = nlohmann::json::parse(line);
    const std::vector<char> bytes = bytes_of(request["params"]);
    if (bytes.size() != sizeof(gpu::TilesCall)) continue;  // the check of indices
    gpu::TilesCall call;
    std::memcpy(static_cast<void*>(&call), bytes.data(), sizeof call);
    EXPECT_EQ(call.grid.dies, dies->second) << request["kernel"];
    ++launches;
  }
  EXPECT_EQ(rows, 2);
  EXPECT_EQ(launches, 5) << "tiles and fold; wide and narrow matrix tiles and fold";
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace attend::testing
