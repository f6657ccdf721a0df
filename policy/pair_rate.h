// How often one sender has written to one support address lately (product rule A5): what is left of
// loops that neither mark their mail nor count hops. Past the bound mail is still taken; it is
// flagged, and automatic mail the other way is suppressed. Thread-safe; nothing is kept on disk: a
// loop shows itself again within one window.
//
// A window begins with a pair's first message, so that a pair has at most twice the bound in any
// span of its length. Memory: about 100 octets a pair, `limits.loop_pairs` of them; past that the
// oldest go. Whoever floods the table with made-up senders makes it forget loops for that long, at
// the price of a hundred thousand accepted messages an hour; hops and RFC 3834 still count.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "core/base/limits.h"

namespace policy {

class PairRate {
 public:
  explicit PairRate(const base::Limits& limits);

  // One more message of `sender` to `address`, both normalized: how many past the bound that is, 0
  // where it is within.
  std::int64_t count(std::string_view sender, std::string_view address, std::int64_t steady_ms);
  // Is the pair past the bound at the moment?
  [[nodiscard]] bool is_over(std::string_view sender, std::string_view address,
                             std::int64_t steady_ms) const;
  [[nodiscard]] std::size_t size() const;

 private:
  using Name = std::array<char, 16>;  // keyed, so that nobody can choose who shares an entry
  struct Entry {
    std::int64_t begin_ms = 0;
    std::int64_t messages = 0;
    std::list<Name>::iterator age;
  };
  [[nodiscard]] Name name(std::string_view sender, std::string_view address) const;

  const std::int64_t messages_max_, window_ms_;
  const std::size_t pairs_max_;
  const std::string key_;
  mutable std::mutex mutex_;
  std::map<Name, Entry> entries_;
  std::list<Name> by_age_;  // the oldest window first
};

}  // namespace policy
