// Changes of the database as bytes: what a transaction put and removed, in order, so that it can be
// done again. It is what the journal holds (queue/journal.h). Decoding is strict. Pure but for
// redo().
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "core/base/id.h"
#include "queue/environment.h"

namespace queue {

struct Change {
  Table table = Table::kMeta;
  bool is_put = false;  // else a removal
  std::string_view key, value;
};

// One after the other; false where the bytes are no log (those before have been called with).
bool each_change(std::string_view log, const std::function<void(const Change&)>& call);

void log_put(std::string& log, Table table, std::string_view key, std::string_view value);
void log_removal(std::string& log, Table table, std::string_view key);

// Does all of it again; doing it twice is as good as once. False where the bytes are no log: then
// some of it may have been done. Errors of the database stay in Txn::error().
bool redo(Txn& txn, std::string_view log);

// The messages that the changes are about.
std::set<base::Id> ids_in(std::string_view log);

}  // namespace queue
