#include "core/dns/packet.h"

#include <arpa/inet.h>

#include <map>
#include <optional>
#include <utility>

#include "core/base/bytes.h"

namespace dns {
namespace {

constexpr std::size_t kHeaderOctets = 12;
constexpr std::size_t kNameOctetsMax = 255;
constexpr std::size_t kLabelOctetsMax = 63;
constexpr std::size_t kChainMax = 16;
// More of one name is not kept: no check looks at it, and it would be held for as long as the
// slowest question of a message takes.
constexpr std::size_t kRecordsMax = 100;
constexpr std::size_t kOctetsMax = 16 * 1024;
constexpr unsigned kClassIn = 1;
constexpr unsigned kNoError = 0;
constexpr unsigned kNameError = 3;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_label(std::string& name, std::string_view label) {
  if (!name.empty()) name += '.';
  for (const char c : label) {
    const auto octet = static_cast<unsigned char>(c);
    if (c == '.' || c == '\\') {
      name += '\\';
      name += c;
    } else if (octet <= 0x20 || octet >= 0x7f) {
      name += '\\';
      name += static_cast<char>('0' + octet / 100);
      name += static_cast<char>('0' + octet / 10 % 10);
      name += static_cast<char>('0' + octet % 10);
    } else {
      name += base::ascii_lower(c);
    }
  }
}

class Reader {
 public:
  explicit Reader(std::string_view packet) : packet_(packet) {}

  [[nodiscard]] std::size_t at() const { return at_; }

  std::optional<unsigned> u16() {
    if (packet_.size() - at_ < 2) return std::nullopt;
    const unsigned value = octet(at_) << 8 | octet(at_ + 1);
    at_ += 2;
    return value;
  }

  std::optional<std::string_view> bytes(std::size_t count) {
    if (packet_.size() - at_ < count) return std::nullopt;
    const std::string_view view = packet_.substr(at_, count);
    at_ += count;
    return view;
  }

  // RFC 1035 4.1.4. Every pointer must go to before the place it was reached from, so no chain of
  // them can go round.
  std::optional<std::string> name() {
    std::string text;
    std::size_t octets = 0;
    std::size_t here = at_;
    std::size_t barrier = at_;
    bool jumped = false;
    for (;;) {
      if (here >= packet_.size()) return std::nullopt;
      const unsigned length = octet(here);
      if ((length & 0xc0) == 0xc0) {
        if (here + 1 >= packet_.size()) return std::nullopt;
        const std::size_t target = (length & 0x3f) << 8 | octet(here + 1);
        if (target >= barrier) return std::nullopt;
        if (!jumped) at_ = here + 2;
        jumped = true;
        here = barrier = target;
        continue;
      }
      if (length > kLabelOctetsMax) return std::nullopt;
      octets += length + 1;
      if (octets > kNameOctetsMax) return std::nullopt;
      if (length == 0) {
        if (!jumped) at_ = here + 1;
        return text;
      }
      if (packet_.size() - here - 1 < length) return std::nullopt;
      append_label(text, packet_.substr(here + 1, length));
      here += length + 1;
    }
  }

 private:
  [[nodiscard]] unsigned octet(std::size_t at) const {
    return static_cast<unsigned char>(packet_[at]);
  }

  std::string_view packet_;
  std::size_t at_ = 0;
};

std::optional<std::string> read_strings(std::string_view data) {
  std::string joined;
  while (!data.empty()) {
    const auto length = static_cast<unsigned char>(data.front());
    if (data.size() - 1 < length) return std::nullopt;
    joined += data.substr(1, length);
    data.remove_prefix(length + 1U);
  }
  return joined;
}

std::optional<std::string> read_address(int family, std::size_t octets, std::string_view data) {
  char text[INET6_ADDRSTRLEN] = "";
  if (data.size() != octets || inet_ntop(family, data.data(), text, sizeof text) == nullptr) {
    return std::nullopt;
  }
  return text;
}

// `reader` stands at the record data, which `data` shows; names in it may point out of it.
std::optional<std::string> read_data(Type type, Reader reader, std::string_view data) {
  const std::size_t end = reader.at() + data.size();
  switch (type) {
    case Type::kA:
      return read_address(AF_INET, 4, data);
    case Type::kAaaa:
      return read_address(AF_INET6, 16, data);
    case Type::kTxt:
      return read_strings(data);
    case Type::kMx: {
      const auto preference = reader.u16();
      if (!preference) return std::nullopt;
      const auto name = reader.name();
      if (!name || reader.at() != end) return std::nullopt;
      return std::to_string(*preference) + " " + (name->empty() ? "." : *name);
    }
    case Type::kNs:
    case Type::kCname:
    case Type::kPtr: {
      auto name = reader.name();
      if (!name || reader.at() != end) return std::nullopt;
      return name;
    }
  }
  return std::nullopt;
}

struct Section {
  std::map<std::string, std::string> aliases;                    // CNAME owner -> target
  std::vector<std::pair<std::string, std::string>> of_the_type;  // owner, record
};

std::optional<Section> read_records(Reader& reader, unsigned count, Type wanted) {
  Section section;
  std::size_t octets_kept = 0;
  for (unsigned i = 0; i < count; ++i) {
    auto owner = reader.name();
    const auto type = reader.u16();
    const auto record_class = reader.u16();
    const auto ttl = reader.bytes(4);
    const auto octets = reader.u16();
    if (!owner || !type || !record_class || !ttl || !octets) return std::nullopt;
    const Reader at_data = reader;
    const auto data = reader.bytes(*octets);
    if (!data) return std::nullopt;
    if (*record_class != kClassIn) continue;
    const bool is_wanted = *type == static_cast<unsigned>(wanted);
    const bool is_alias = *type == static_cast<unsigned>(Type::kCname);
    if (!is_wanted && !is_alias) continue;
    auto text = read_data(is_wanted ? wanted : Type::kCname, at_data, *data);
    if (!text) return std::nullopt;
    if (is_wanted) {
      // Past the bounds only what says that it is a policy or a key.
      const bool is_much =
          section.of_the_type.size() >= kRecordsMax || octets_kept + text->size() > kOctetsMax;
      const bool is_worth = wanted == Type::kTxt && base::istarts_with(*text, "v=") &&
                            octets_kept + text->size() <= 2 * kOctetsMax;
      if (is_much && !is_worth) continue;
      octets_kept += text->size();
      section.of_the_type.emplace_back(std::move(*owner), std::move(*text));
    } else {
      section.aliases.emplace(std::move(*owner), std::move(*text));
    }
  }
  return section;
}

// One spelling of a name, whatever escapes it was written with.
std::string canonical(std::string_view name) {
  std::string result;
  std::string label;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '.') {
      append_label(result, label);
      label.clear();
    } else if (name[i] != '\\' || i + 1 == name.size()) {
      label += name[i];
    } else if (i + 3 < name.size() && is_digit(name[i + 1])) {
      label += static_cast<char>((name[i + 1] - '0') * 100 + (name[i + 2] - '0') * 10 +
                                 (name[i + 3] - '0'));
      i += 3;
    } else {
      label += name[++i];
    }
  }
  append_label(result, label);
  return result;
}

}  // namespace

Answer read_answer(std::string_view packet, const Question& question) {
  const Answer unreadable{.status = Status::kServFail, .records = {}, .secure = false};
  if (packet.size() < kHeaderOctets || !is_valid_name(question.name)) return unreadable;
  Reader reader(packet);
  (void)reader.u16();  // id
  const unsigned flags = *reader.u16();
  const unsigned questions = *reader.u16();
  const unsigned answers = *reader.u16();
  (void)reader.bytes(4);  // counts of authority and additional
  const unsigned code = flags & 0xf;
  if (code != kNoError && code != kNameError) return unreadable;
  for (unsigned i = 0; i < questions; ++i) {
    if (!reader.name() || !reader.bytes(4)) return unreadable;
  }
  const auto section = read_records(reader, answers, question.type);
  if (!section) return unreadable;

  Answer answer{.status = Status::kNoData, .records = {}, .secure = false};
  std::string owner = canonical(question.name);
  for (; question.type != Type::kCname; ++answer.aliases) {
    const auto next = section->aliases.find(owner);
    if (next == section->aliases.end()) break;
    if (answer.aliases == kChainMax) return unreadable;
    owner = next->second;
  }
  if (code == kNameError) {
    answer.status = Status::kNxDomain;
    return answer;
  }
  for (const auto& [name, record] : section->of_the_type) {
    if (name == owner) answer.records.push_back(record);
  }
  if (!answer.records.empty()) answer.status = Status::kOk;
  return answer;
}

bool is_valid_name(std::string_view name) {
  std::size_t label = 0;
  std::size_t octets = 1;  // the root
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '\0') return false;
    if (name[i] == '.') {
      if (label == 0) return false;
      octets += label + 1;
      label = 0;
      continue;
    }
    if (name[i] == '\\') {
      if (i + 1 >= name.size() || name[i + 1] == '\0') return false;
      if (is_digit(name[i + 1])) {
        if (i + 3 >= name.size() || !is_digit(name[i + 2]) || !is_digit(name[i + 3])) return false;
        if (base::parse_unsigned(name.substr(i + 1, 3)) > 255U) return false;
        i += 3;
      } else {
        i += 1;
      }
    }
    if (++label > kLabelOctetsMax) return false;
  }
  return label > 0 && octets + label + 1 <= kNameOctetsMax;
}

}  // namespace dns
