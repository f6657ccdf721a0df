#include "queue/draft.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

#include "queue/change_log.h"

namespace queue {
namespace {

constexpr std::size_t kFirstOctets = 64 * 1024;  // of the arena
constexpr std::uint64_t kRowOctets = 96;         // of a row beside its bytes: a node of the map

// What has all its memory of the arena goes with it: nothing of it needs a destructor.
std::array<Draft::Rows, kTables>& empty_tables(std::pmr::monotonic_buffer_resource& arena) {
  using Tables = std::array<Draft::Rows, kTables>;
  static_assert(alignof(Tables) <= alignof(std::max_align_t));
  auto* rows = static_cast<Draft::Rows*>(arena.allocate(sizeof(Tables)));
  for (std::size_t number = 0; number < kTables; ++number) new (rows + number) Draft::Rows(&arena);
  return *reinterpret_cast<Tables*>(rows);
}

}  // namespace

Draft::Draft() : arena_(kFirstOctets), tables_(empty_tables(arena_)) {}

std::string_view Draft::keep(std::string_view bytes) {
  if (bytes.empty()) return {};
  auto* copy = static_cast<char*>(arena_.allocate(bytes.size(), 1));
  std::memcpy(copy, bytes.data(), bytes.size());
  octets_ += bytes.size();
  return {copy, bytes.size()};
}

void Draft::put(Table table, std::string_view key, std::string_view value) {
  log_put(log_, table, key, value);
  Rows& rows = this->rows(table);
  const auto at = rows.lower_bound(key);
  if (at != rows.end() && at->first == key) {
    changes_.push_back({table, at->first, at->second});
    at->second = keep(value);
    return;
  }
  octets_ += kRowOctets;
  changes_.push_back({table, rows.emplace_hint(at, keep(key), keep(value))->first, std::nullopt});
}

bool Draft::remove(Table table, std::string_view key, bool is_below) {
  Rows& rows = this->rows(table);
  const auto at = rows.lower_bound(key);
  const bool is_here = at != rows.end() && at->first == key;
  if (is_here ? !at->second : !is_below) return false;
  log_removal(log_, table, key);
  if (!is_here) {
    octets_ += kRowOctets;
    const auto made = rows.emplace_hint(at, keep(key), std::nullopt);
    changes_.push_back({table, made->first, std::nullopt});
    return true;
  }
  changes_.push_back({table, at->first, at->second});
  if (is_below) {
    at->second.reset();
  } else {
    rows.erase(at);
  }
  return true;
}

const Draft::Value* Draft::find(Table table, std::string_view key) const {
  const Rows& rows = this->rows(table);
  const auto at = rows.find(key);
  return at == rows.end() ? nullptr : &at->second;
}

bool Draft::empty() const {
  return std::all_of(tables_.begin(), tables_.end(), [](const Rows& rows) { return rows.empty(); });
}

void Draft::begin() {
  changes_.clear();
  log_.clear();
}

void Draft::take_back() {
  for (; !changes_.empty(); changes_.pop_back()) {
    const Change& last = changes_.back();
    Rows& rows = this->rows(last.table);
    if (last.before) {
      rows.insert_or_assign(last.key, *last.before);
    } else {
      rows.erase(last.key);
    }
  }
  log_.clear();
}

std::size_t Draft::forget_puts(Table table) {
  return std::erase_if(rows(table), [](const auto& row) { return row.second.has_value(); });
}

}  // namespace queue
