// How many connections there are to all smarthosts together, and who gets the next one: fair
// between tenants, and between the smarthosts of each. A smarthost that is dead may hold a
// connection for minutes until it is known; so those that failed the last time share one half of
// what there is, and a smarthost that works is not kept waiting by them. Pure; one thread's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace egress {

class Turns {
 public:
  enum class Kind : std::uint8_t {
    kFirst,     // of a smarthost that works, as far as is known
    kDoubtful,  // of one whose last connection was of no use: half of all
    kFurther,   // where there is one already: three quarters
  };
  explicit Turns(std::size_t connections_max) : connections_max_(connections_max) {}

  // True: a connection counts from now on until end(). False: `lane` stands in line, and next()
  // names it when it should ask again.
  bool begin(Kind kind, const std::string& tenant, const std::string& lane);
  void end(Kind kind);
  // Whose turn it is to ask again; nullopt: nobody's. It leaves the line.
  std::optional<std::string> next();

  [[nodiscard]] bool somebody_waits() const;
  [[nodiscard]] std::size_t connections() const { return all_; }

 private:
  static constexpr std::size_t kKinds = 3;
  struct Line {
    std::deque<std::string> tenants;  // each that has lanes in line, once
    std::map<std::string, std::deque<std::string>> lanes;
    std::set<std::string> in_line;
  };
  [[nodiscard]] bool has_room(Kind kind) const;

  std::size_t connections_max_;
  std::size_t all_ = 0;
  std::array<std::size_t, kKinds> open_{};
  std::array<Line, kKinds> lines_;
};

}  // namespace egress
