// What `relayctl queue fsck` looks at: every row of the tables against its neighbours, and every
// octet against its checksum. Reads only, beside a queue that goes on: rows are looked at a page at
// a time, each page in a short transaction of its own, bytes outside of any.
#pragma once

#include <cstdint>
#include <functional>

#include "queue/environment.h"
#include "queue/segment.h"
#include "queue/store.h"

namespace queue {

// See Store::check.
CheckReport check_queue(const Environment& environment, SegmentDirectory& segments,
                        const std::function<bool(std::uint64_t)>& progress);

}  // namespace queue
