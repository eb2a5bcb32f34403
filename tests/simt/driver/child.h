#pragma once
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

// A child process that is talked to in lines, over its standard input and output.
namespace attend::simt {

class Child {
 public:
  // Null, and `why`, if it cannot be started. The first word is looked for in PATH.
  static std::unique_ptr<Child> start(const std::vector<std::string>& words, std::string* why);
  // Ends it: its input ends, and if it was being waited for in vain, it is killed.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Says a line and waits for one. False, and `why`: the child has ended, or has said nothing for
  // so many seconds; there is nothing more to ask it then.
  bool ask(const std::string& line, double seconds, std::string* answer, std::string* why);

 private:
  Child() = default;
  bool say(const std::string& line);
  std::string how_it_ended();

  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
  std::string heard_;  // that no line has taken yet
};

}  // namespace attend::simt
