// Changes of the database as bytes: rows that are put and rows that are removed, in order, which is
// what the journal holds (queue/journal.h). Doing them again does no harm. Decoding is strict.
// Pure.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "core/base/id.h"
#include "queue/draft.h"

namespace queue {

void log_put(std::string& log, Table table, std::string_view key, std::string_view value);
void log_removal(std::string& log, Table table, std::string_view key);

// Does all of it in the draft. False where the bytes are no log: then some of it may be done.
bool redo(Draft& draft, std::string_view log);

// The messages that the draft is about.
std::set<base::Id> ids_in(const Draft& draft);

}  // namespace queue
