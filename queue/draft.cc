#include "queue/draft.h"

#include <algorithm>
#include <utility>

namespace queue {
namespace {

// What a row takes beside its octets: the node of the map and two strings.
constexpr std::uint64_t kRowOctets = 128;

std::uint64_t octets_of(const Draft::Rows::value_type& row) {
  return kRowOctets + row.first.size() + (row.second ? row.second->size() : 0);
}

}  // namespace

void Draft::put(Table table, std::string_view key, std::string_view value) {
  Rows& rows = this->rows(table);
  const auto at = rows.lower_bound(key);
  if (at != rows.end() && at->first == key) {
    octets_ -= octets_of(*at);
    at->second.emplace(value);
    octets_ += octets_of(*at);
    return;
  }
  octets_ += octets_of(*rows.emplace_hint(at, key, value));
}

void Draft::remove(Table table, std::string_view key) {
  Rows& rows = this->rows(table);
  const auto at = rows.lower_bound(key);
  if (at != rows.end() && at->first == key) {
    octets_ -= octets_of(*at);
    at->second.reset();
    octets_ += octets_of(*at);
    return;
  }
  octets_ += octets_of(*rows.emplace_hint(at, key, std::nullopt));
}

const Draft::Value* Draft::find(Table table, std::string_view key) const {
  const Rows& rows = this->rows(table);
  const auto at = rows.find(key);
  return at == rows.end() ? nullptr : &at->second;
}

bool Draft::empty() const {
  return std::all_of(tables_.begin(), tables_.end(), [](const Rows& rows) { return rows.empty(); });
}

std::size_t Draft::forget_puts(Table table) {
  return std::erase_if(rows(table), [this](const auto& row) {
    if (row.second) octets_ -= octets_of(row);
    return row.second.has_value();
  });
}

void Draft::take(Draft later, const IsBelow& is_below) {
  for (std::size_t number = 0; number < kTables; ++number) {
    const auto table = static_cast<Table>(number);
    Rows& rows = tables_[number];
    Rows& new_rows = later.tables_[number];
    while (!new_rows.empty()) {
      auto result = rows.insert(new_rows.extract(new_rows.begin()));
      if (!result.inserted) {
        octets_ -= octets_of(*result.position);
        result.position->second = std::move(result.node.mapped());
      }
      if (!result.position->second && !is_below(table, result.position->first)) {
        rows.erase(result.position);
      } else {
        octets_ += octets_of(*result.position);
      }
    }
  }
}

}  // namespace queue
