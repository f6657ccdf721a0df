// The JSON of POST /v1/apply, which has the shape of the apply file of relayctl (TOML), as a Plan.
// relayctl uses it too, so that both know the same keys. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <variant>

#include "policy/account_store.h"

namespace admin {

// "tenant[0].domain[1].smarthost.port" and what is expected there.
struct PlanMistake {
  std::string path;
  std::string text;
  [[nodiscard]] std::string str() const { return path.empty() ? text : path + ": " + text; }
};

std::variant<policy::Plan, PlanMistake> read_plan(const nlohmann::json& document);

}  // namespace admin
