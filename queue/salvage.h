// Getting messages out of a queue that cannot be opened any more. Nothing in it is changed.
//
// The database says where a message begins and ends, and the journal what has changed since
// (docs/decisions/0028-the-journal.md). Where LMDB itself cannot be read, nothing says what of the
// segments' bytes is alive, and that is an error.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "queue/store.h"

namespace queue {

struct Salvaged {
  Message message;
  std::vector<Delivery> deliveries;
  const ContentReader* content = nullptr;
};

struct SalvageCalls {
  // What could be read of its record; its bytes are still to be read, and may fail. Valid for the
  // call. False ends the salvage.
  std::function<bool(const Salvaged&)> message;
  // Skipped: its id, and why.
  std::function<void(const std::string&, const std::string&)> skipped;
  // Before a record is looked at: its id. A damaged database can end the process at any of them
  // (LMDB believes its pages), so whoever wants to tell of that calls this in a child.
  std::function<void(const std::string&)> looking_at;
};

// `directory` is state_dir/queue. In order of id, those that are in the journal alone last. Errors:
// a relayd is using it, it is of a newer version, the database cannot be read.
base::Status salvage(const std::string& directory, const SalvageCalls& calls);

}  // namespace queue
