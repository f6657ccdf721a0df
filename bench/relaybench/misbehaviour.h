// What a sink does wrong on command. NAME, NAME=VALUE, NAME:SHARE or NAME=VALUE:SHARE, where SHARE
// is like 10%; NAME=10% is the same as NAME:10%. Drawn anew each time it could happen, from a fixed
// seed, so that runs can be repeated. A file of them, one a line, can be read anew while the sink
// runs. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace relaybench {

struct MisbehaviourRule {
  enum class Takes : std::uint8_t {
    kNothing,
    kNumber,    // must be given
    kWord,      // must be given, one of `words`
    kWordOrNot  // may be given, else the first of `words`
  };
  std::string_view name;
  Takes takes;
  std::string_view words;  // "a|b|c"
  std::string_view help;
};

struct Misbehaviour {
  std::size_t rule = 0;  // index in the table
  std::string text;      // as it was given
  std::int64_t number = 0;
  std::string word;
  double share = 1;
  std::uint64_t happened = 0;
  bool over = false;  // no longer in the file
};

class Misbehaviours {
 public:
  // `rules` outlives the object. `file`: one misbehaviour a line, '#' begins a comment; "" for
  // none. Errors name what is known.
  static base::Result<Misbehaviours> parse(std::span<const MisbehaviourRule> rules,
                                           const std::vector<std::string>& texts,
                                           const std::string& file = "");
  // The file anew; what is not in it any more does not happen any more. What was wrong changes
  // nothing.
  base::Status reread();
  // Does one of `rule` (and of `word`, where it takes one) happen now? Null where none does.
  const Misbehaviour* strike(std::size_t rule, std::string_view word = {});
  // Also those that no longer happen, for the counts.
  [[nodiscard]] const std::vector<Misbehaviour>& all() const { return all_; }
  [[nodiscard]] bool empty() const { return all_.empty(); }

 private:
  std::span<const MisbehaviourRule> rules_;
  std::vector<std::string> texts_;
  std::string file_;
  std::vector<Misbehaviour> all_;
  std::mt19937 random_{20240229};
};

// A line a rule, for --help.
std::string describe(std::span<const MisbehaviourRule> rules);

}  // namespace relaybench
