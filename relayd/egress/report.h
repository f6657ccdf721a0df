// Turns recipients that failed for good into a bounce for the back end, written in the same
// transaction that takes them off the queue.
#pragma once

#include <string>

#include "relayd/egress/outcome.h"
#include "relayd/egress/settings.h"

namespace egress {

// Adds to `judged.update.also` what wants_report() asks for; logs what is dropped without a report.
// `headers` is the message's header section where it is known.
void add_report(const Workplace& workplace, const Settings& settings, const queue::Message& message,
                const std::string& headers, Judged& judged);

// The header section of a message that was not opened for sending; "" where it cannot be read.
std::string stored_headers(const Workplace& workplace, const Settings& settings,
                           const queue::Message& message);

}  // namespace egress
