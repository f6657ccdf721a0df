#include "relayd/egress/turns.h"

#include <algorithm>
#include <utility>

namespace egress {

bool Turns::has_room(Kind kind) const {
  if (all_ >= connections_max_) return false;
  switch (kind) {
    case Kind::kFirst:
      return true;
    case Kind::kDoubtful:
      return open_[static_cast<std::size_t>(kind)] < (connections_max_ + 1) / 2;
    case Kind::kFurther:
      return all_ < connections_max_ - connections_max_ / 4;
  }
  return false;
}

bool Turns::begin(Kind kind, const std::string& tenant, const std::string& lane) {
  if (has_room(kind)) {
    ++all_;
    ++open_[static_cast<std::size_t>(kind)];
    return true;
  }
  Line& line = lines_[static_cast<std::size_t>(kind)];
  if (!line.in_line.insert(lane).second) return false;
  std::deque<std::string>& lanes = line.lanes[tenant];
  if (lanes.empty()) line.tenants.push_back(tenant);
  lanes.push_back(lane);
  return false;
}

void Turns::end(Kind kind) {
  --all_;
  --open_[static_cast<std::size_t>(kind)];
}

std::optional<std::string> Turns::next() {
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    Line& line = lines_[kind];
    if (line.tenants.empty() || !has_room(static_cast<Kind>(kind))) continue;
    std::string tenant = std::move(line.tenants.front());
    line.tenants.pop_front();
    const auto at = line.lanes.find(tenant);
    std::string lane = std::move(at->second.front());
    at->second.pop_front();
    if (at->second.empty()) {
      line.lanes.erase(at);
    } else {
      line.tenants.push_back(std::move(tenant));
    }
    line.in_line.erase(lane);
    return lane;
  }
  return std::nullopt;
}

bool Turns::somebody_waits() const {
  return std::any_of(lines_.begin(), lines_.end(),
                     [](const Line& line) { return !line.tenants.empty(); });
}

}  // namespace egress
