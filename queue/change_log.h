// A draft as bytes, which is what the journal holds (queue/journal.h): rows that are put and rows
// that are removed. Adding them again does no harm. Decoding is strict. Pure.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "core/base/id.h"
#include "queue/draft.h"

namespace queue {

std::string log_of(const Draft& draft);
// False where the bytes are no log: then some of it may have been added.
bool add_log(Draft& draft, std::string_view log);

// The messages that the draft is about.
std::set<base::Id> ids_in(const Draft& draft);

}  // namespace queue
