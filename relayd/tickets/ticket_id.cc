#include "relayd/tickets/ticket_id.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/bytes.h"

namespace tickets {
namespace {

using nlohmann::json;

constexpr std::size_t kIdMax = 128;
constexpr int kDepthMax = 32;

std::string checked(std::string_view id) {
  id = base::trim(id);
  const bool good =
      !id.empty() && id.size() <= kIdMax && base::is_utf8(id) &&
      std::none_of(id.begin(), id.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
  return good ? std::string(id) : std::string();
}

// Stops at "ticket_id", at the end, or at what is no JSON; what was found until then counts.
class Finder : public nlohmann::json_sax<json> {
 public:
  std::string ticket_id, id;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t value) override { return found(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return found(std::to_string(value)); }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t& value) override { return found(value); }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return ++depth_ <= kDepthMax; }
  bool end_object() override { return --depth_ > 0; }
  bool start_array(std::size_t) override { return depth_ > 0 && ++depth_ <= kDepthMax; }
  bool end_array() override { return --depth_ > 0; }
  bool key(string_t& value) override {
    key_ = value;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  bool found(const std::string& value) {
    if (depth_ != 1) return depth_ > 0;
    if (key_ == "id" && id.empty()) id = checked(value);
    if (key_ == "ticket_id") ticket_id = checked(value);
    return ticket_id.empty();
  }

  int depth_ = 0;
  std::string key_;
};

}  // namespace

std::string ticket_id(std::string_view field, std::string_view body_start) {
  if (std::string id = checked(field); !id.empty()) return id;
  Finder finder;
  json::sax_parse(body_start.begin(), body_start.end(), &finder, json::input_format_t::json, false);
  return finder.ticket_id.empty() ? finder.id : finder.ticket_id;
}

}  // namespace tickets
