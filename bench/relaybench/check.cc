#include "relaybench/check.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace relaybench {
namespace {

constexpr std::size_t kShown = 10;

struct Ids {
  std::string text;
  std::vector<std::string_view> all;      // sorted
  std::vector<std::string_view> altered;  // marked by the receiver
  std::size_t without = 0;                // messages that carried none
};

void read_ids(const std::string& path, Ids& ids) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  ids.text.assign(std::istreambuf_iterator<char>(file), {});
  std::string_view rest = ids.text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = base::trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty()) continue;
    const std::string_view id = line.substr(0, line.find(' '));
    if (id == "-") {
      ++ids.without;
      continue;
    }
    ids.all.push_back(id);
    if (line.ends_with(" altered")) ids.altered.push_back(id);
  }
  std::sort(ids.all.begin(), ids.all.end());
}

struct Finding {
  const char* name;
  std::vector<std::string_view> ids;
};

void print(const Finding& finding, bool all) {
  std::cout << finding.name << std::string(12 - std::string_view(finding.name).size(), ' ')
            << finding.ids.size() << "\n";
  for (std::size_t i = 0; i < finding.ids.size() && (all || i < kShown); ++i) {
    std::cout << "    " << finding.ids[i] << "\n";
  }
  if (!all && finding.ids.size() > kShown) std::cout << "    ... (--list shows all)\n";
}

}  // namespace

int run_check(const CheckOptions& options) {
  Ids sent;
  Ids received;
  read_ids(options.sent, sent);
  read_ids(options.received, received);
  const std::size_t received_lines = received.all.size();

  Finding lost{"lost", {}};
  Finding doubled{"doubled", {}};
  Finding unknown{"unknown", {}};
  Finding altered{"altered", received.altered};
  auto& all = received.all;
  for (auto at = all.begin(); at != all.end();) {
    const auto next = std::upper_bound(at, all.end(), *at);
    if (next - at > 1) doubled.ids.push_back(*at);
    at = next;
  }
  const auto unique = [](std::vector<std::string_view>& ids) {
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  };
  unique(all);
  unique(sent.all);
  std::set_difference(sent.all.begin(), sent.all.end(), all.begin(), all.end(),
                      std::back_inserter(lost.ids));
  std::set_difference(all.begin(), all.end(), sent.all.begin(), sent.all.end(),
                      std::back_inserter(unknown.ids));

  if (options.json) {
    nlohmann::ordered_json report = {
        {"sent", sent.all.size()}, {"received", received_lines}, {"without_id", received.without}};
    for (const Finding* finding : {&lost, &doubled, &altered, &unknown}) {
      report[finding->name] = finding->ids.size();
      if (options.list) report[std::string(finding->name) + "_ids"] = finding->ids;
    }
    std::cout << report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    std::cout << "sent        " << sent.all.size() << "\nreceived    " << received_lines << "\n";
    if (received.without > 0) std::cout << "without id  " << received.without << "\n";
    for (const Finding* finding : {&lost, &doubled, &altered, &unknown}) {
      print(*finding, options.list);
    }
  }
  return lost.ids.empty() && altered.ids.empty() ? 0 : 1;
}

}  // namespace relaybench
