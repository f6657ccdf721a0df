// The trail in words: a sentence a step. Pure. Everything in a step is printable and bounded
// already; see queue/trail_step.h.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "queue/trail_step.h"

namespace admin {

// `origin` is that of the message's first step where it is known; it has the recipients' addresses.
std::string sentence(const queue::TrailStep& step, const queue::TrailOrigin* origin);
nlohmann::json step_json(const queue::TrailStep& step, const queue::TrailOrigin* origin);
const queue::TrailOrigin* origin_of(const std::vector<queue::TrailStep>& steps);
std::string_view kind_name(queue::Kind kind);

}  // namespace admin
