#include "tests/simt/driver/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <sstream>

namespace attend::simt {

std::unique_ptr<Child> Child::start(const std::vector<std::string>& words, std::string* why) {
  // A line to a child that has ended is an error here, not the end of this process.
  signal(SIGPIPE, SIG_IGN);
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return *why = "no pipe is to be had", nullptr;
  std::unique_ptr<Child> child(new Child);
  child->to_ = in[1];
  if (pipe2(out, O_CLOEXEC) != 0) {
    close(in[0]);
    return *why = "no pipe is to be had", nullptr;
  }
  child->from_ = out[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  std::vector<char*> argv;
  for (const std::string& one : words) argv.push_back(const_cast<char*>(one.c_str()));
  argv.push_back(nullptr);
  const int code = posix_spawnp(&child->pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  if (code == 0) return child;
  child->pid_ = -1;
  return *why = words[0] + " cannot be started", nullptr;
}

Child::~Child() {
  if (to_ != -1) close(to_);
  if (from_ != -1) close(from_);
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
}

bool Child::say(const std::string& line) {
  const std::string text = line + "\n";
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = write(to_, text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += static_cast<size_t>(n);
  }
  return true;
}

std::string Child::how_it_ended() {
  int status = 0;
  const bool known = waitpid(pid_, &status, 0) == pid_;
  pid_ = -1;
  if (known && WIFSIGNALED(status)) return "by signal " + std::to_string(WTERMSIG(status));
  return known ? "with status " + std::to_string(WEXITSTATUS(status)) : "for no known reason";
}

bool Child::ask(const std::string& line, double seconds, std::string* answer, std::string* why) {
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + std::chrono::duration<double>(seconds);
  bool there = say(line);
  while (there) {
    if (const size_t end = heard_.find('\n'); end != std::string::npos) {
      *answer = heard_.substr(0, end);
      heard_.erase(0, end + 1);
      return true;
    }
    const std::chrono::duration<double, std::milli> left = until - Clock::now();
    pollfd ready{from_, POLLIN, 0};
    const int count = poll(&ready, 1, static_cast<int>(std::clamp(left.count(), 0.0, 1e9)));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) {
      kill(pid_, SIGKILL);
      std::ostringstream text;
      text << "has not answered for " << seconds << " seconds and was ended";
      return *why = text.str(), false;
    }
    char bytes[4096];
    const ssize_t n = read(from_, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    there = n > 0;
    if (there) heard_.append(bytes, static_cast<size_t>(n));
  }
  return *why = "has ended " + how_it_ended() + "; its words are on stderr", false;
}

}  // namespace attend::simt
