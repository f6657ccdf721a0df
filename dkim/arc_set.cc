#include "dkim/arc_set.h"

#include <algorithm>
#include <string_view>

#include "core/base/bytes.h"
#include "core/mail/address.h"

namespace dkim {
namespace {

constexpr int kInstancesMax = 50;  // RFC 8617 4.2.1
constexpr std::size_t kInstanceDigitsMax = 2;
constexpr std::size_t kTimeDigitsMax = 12;    // RFC 6376 3.5
constexpr std::size_t kLengthDigitsMax = 76;  // RFC 6376 3.5
constexpr std::size_t kNameOctetsMax = 253;
constexpr std::size_t kShownOctetsMax = 255;
constexpr std::size_t kDigestOctets = 32;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Steps over comments and folding white space (RFC 5322 3.2.2); npos where a comment does not end.
std::size_t skip_cfws(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '(') {
      ++depth;
    } else if (depth > 0 && c == ')') {
      --depth;
    } else if (depth > 0 && c == '\\') {
      ++at;
    } else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n') {
      return at;
    }
  }
  return depth == 0 ? text.size() : std::string_view::npos;
}

// `position` (RFC 8617 3.9) with the comments and blanks around it; `at` goes behind them.
std::optional<int> read_position(std::string_view text, std::size_t& at) {
  at = skip_cfws(text, at);
  if (at == std::string_view::npos) return std::nullopt;
  std::size_t end = at;
  int value = 0;
  while (end < text.size() && end - at < kInstanceDigitsMax && is_digit(text[end])) {
    value = value * 10 + (text[end++] - '0');
  }
  if (end == at || value == 0) return std::nullopt;
  at = skip_cfws(text, end);
  if (at == std::string_view::npos) return std::nullopt;
  return value;
}

// i= of an ARC-Seal or ARC-Message-Signature.
std::optional<int> read_instance(const TagList& tags) {
  const std::string* value = tags.find("i");
  if (value == nullptr) return std::nullopt;
  std::size_t at = 0;
  const auto instance = read_position(*value, at);
  return at == value->size() ? instance : std::nullopt;
}

// RFC 8617 4.1.1: "i=N;" in front of what is otherwise an Authentication-Results field.
std::optional<int> read_results(std::string_view body, std::string& results) {
  std::size_t at = skip_cfws(body, 0);
  if (at >= body.size() || body[at] != 'i') return std::nullopt;
  at = skip_cfws(body, at + 1);
  if (at >= body.size() || body[at] != '=') return std::nullopt;
  const auto instance = read_position(body, ++at);
  if (!instance || at >= body.size() || body[at] != ';') return std::nullopt;
  results = mail::unfold(body.substr(at + 1));
  return instance;
}

// Labels of letters, digits, hyphens and underscores; U-labels become A-labels (RFC 8617 4.1.4).
// Empty where it is no name.
std::string read_name(const std::string* value) {
  if (value == nullptr || value->ends_with('.')) return {};
  auto name = mail::normalize_domain(*value);
  return name.ok() && !name->starts_with('[') ? name.take() : std::string();
}

// d= (RFC 6376 3.5: a domain-name, which has a dot).
std::string read_domain(const TagList& tags) {
  std::string name = read_name(tags.find("d"));
  return name.find('.') == std::string::npos ? std::string() : name;
}

std::optional<std::string> missing(const TagList& tags, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const std::string* value = tags.find(name);
    if (value == nullptr || value->empty()) return std::string("tag ") + name + "= is missing";
  }
  return std::nullopt;
}

bool is_number(const std::string& text, std::size_t digits_max) {
  return !text.empty() && text.size() <= digits_max &&
         std::all_of(text.begin(), text.end(), is_digit);
}

// a=, b=, d=, s=, which must be there, and t=.
base::Result<ArcSignature> read_signature(const TagList& tags) {
  ArcSignature read;
  auto algorithm = parse_algorithm(*tags.find("a"));
  if (!algorithm) return base::error("its algorithm is unknown");
  read.algorithm = algorithm.take();
  auto signature = decode_folded_base64(*tags.find("b"));
  if (!signature) return base::error("tag b= is no base64");
  read.signature = std::move(*signature);
  const std::string domain = read_domain(tags);
  const std::string selector = read_name(tags.find("s"));
  read.key_name = selector + "._domainkey." + domain;
  if (domain.empty() || selector.empty() || read.key_name.size() > kNameOctetsMax) {
    return base::error("the domain or the selector is no name");
  }
  const std::string* time = tags.find("t");
  if (time != nullptr && !is_number(*time, kTimeDigitsMax)) {
    return base::error("tag t= is no number");
  }
  return read;
}

std::optional<Canonical> read_method(std::string_view text) {
  text = base::trim(text);
  if (base::iequals(text, "simple")) return Canonical::kSimple;
  if (base::iequals(text, "relaxed")) return Canonical::kRelaxed;
  return std::nullopt;
}

// c= "header" or "header/body"; what is not named is simple (RFC 6376 3.5).
bool read_methods(const TagList& tags, ArcMessageSignature& read) {
  const std::string* value = tags.find("c");
  if (value == nullptr) return true;
  const auto parts = base::split(*value, '/');
  const auto header = read_method(parts.front());
  const auto body = parts.size() == 1 ? Canonical::kSimple : read_method(parts[1]);
  if (!header || !body || parts.size() > 2) return false;
  read.header = *header;
  read.body = *body;
  return true;
}

// h= (RFC 6376 3.5): the signed fields. The seal of a set is made after its signature (RFC 8617
// 4.1.2); an author who is not covered is not vouched for (RFC 6376 5.4).
std::optional<std::string> read_fields(const TagList& tags, ArcMessageSignature& read) {
  bool from = false;
  for (const std::string_view part : base::parts(*tags.find("h"), ':')) {
    std::string name = base::ascii_lower(base::trim(part));
    if (name.empty()) return "tag h= is malformed";
    if (name == "arc-seal") return "it covers an ARC-Seal";
    from = from || name == "from";
    read.fields.push_back(std::move(name));
  }
  if (!from) return "it does not cover the From field";
  return std::nullopt;
}

// l= beyond what can be counted is beyond every body.
bool read_length(const TagList& tags, ArcMessageSignature& read) {
  const std::string* value = tags.find("l");
  if (value == nullptr) return true;
  if (!is_number(*value, kLengthDigitsMax)) return false;
  read.body_octets = base::parse_unsigned(*value).value_or(BodyHash::kWhole - 1);
  return true;
}

// x= (RFC 6376 3.5): behind t=, and not yet over.
std::optional<std::string> problem_of_expiry(const TagList& tags, std::int64_t wall_s) {
  const std::string* x = tags.find("x");
  if (x == nullptr) return std::nullopt;
  if (!is_number(*x, kTimeDigitsMax)) return "tag x= is no number";
  const auto expiry = base::parse_unsigned(*x).value_or(0);
  if (const std::string* t = tags.find("t"); t != nullptr && base::parse_unsigned(*t) >= expiry) {
    return "it expires before it was made";
  }
  if (static_cast<std::uint64_t>(std::max<std::int64_t>(wall_s, 0)) > expiry) {
    return "it has expired";
  }
  return std::nullopt;
}

// q= (RFC 6376 3.5): one of the query methods must be ours.
bool is_query_known(const TagList& tags) {
  const std::string* value = tags.find("q");
  if (value == nullptr) return true;
  const auto methods = base::split(*value, ':');
  return std::any_of(methods.begin(), methods.end(), [](std::string_view method) {
    return base::iequals(base::trim(method), "dns/txt");
  });
}

std::string set_name(std::size_t instance) { return "set " + std::to_string(instance); }

// Puts the fields into their sets.
class Collector {
 public:
  explicit Collector(const base::Limits& limits)
      : instances_max_(std::min<std::int64_t>(limits.arc_sets, kInstancesMax)) {}

  void take_results(const mail::HeaderField& field) {
    std::string results;
    const auto instance = read_results(field.body, results);
    ArcLink* link = link_of(instance, "ARC-Authentication-Results");
    if (link == nullptr || !is_first(*link, link->results, "ARC-Authentication-Results")) return;
    link->results = &field;
    link->set.results = std::move(results);
  }

  void take_signature(const mail::HeaderField& field) {
    auto tags = read_tags(field, "ARC-Message-Signature");
    if (!tags) return;
    ArcLink* link = link_of(read_instance(*tags), "ARC-Message-Signature");
    if (link == nullptr || !is_first(*link, link->signature, "ARC-Message-Signature")) return;
    link->signature = &field;
    link->set.signer = read_domain(*tags);
    link->signature_tags = std::move(*tags);
  }

  void take_seal(const mail::HeaderField& field) {
    auto tags = read_tags(field, "ARC-Seal");
    if (!tags) return;
    ArcLink* link = link_of(read_instance(*tags), "ARC-Seal");
    if (link == nullptr || !is_first(*link, link->seal, "ARC-Seal")) return;
    link->seal = &field;
    link->set.sealer = read_domain(*tags);
    if (const std::string* selector = tags->find("s")) {
      link->set.selector = base::printable(*selector, kShownOctetsMax);
    }
    if (const std::string* cv = tags->find("cv")) {
      const std::string status = base::ascii_lower(*cv);  // RFC 8617 3.9: no %s
      if (status == "none" || status == "pass" || status == "fail") link->set.cv = status;
    }
    link->seal_tags = std::move(*tags);
  }

  ArcChain finish() {
    // RFC 8617 5.2 step 2 comes before the structure: the fields may be in any state then.
    if (!chain_.links.empty() && chain_.links.back().set.cv == "fail") {
      chain_.problem = "an earlier handler found the chain broken (cv=fail in " +
                       set_name(chain_.links.size()) + ")";
    }
    for (std::size_t i = 0; i < chain_.links.size() && !chain_.problem; ++i) check(i);
    return std::move(chain_);
  }

 private:
  void note(std::string problem) {
    if (!chain_.problem) chain_.problem = std::move(problem);
  }

  std::optional<TagList> read_tags(const mail::HeaderField& field, const std::string& what) {
    auto tags = TagList::parse(field.body);
    if (tags.ok()) return tags.take();
    note("an " + what + " is malformed: " + tags.message());
    return std::nullopt;
  }

  ArcLink* link_of(std::optional<int> instance, const std::string& what) {
    if (!instance) {
      note("an " + what + " has no instance (i=)");
      return nullptr;
    }
    if (*instance > instances_max_) {
      note("there are more than " + std::to_string(instances_max_) + " sets");
      return nullptr;
    }
    const auto at = static_cast<std::size_t>(*instance);
    while (chain_.links.size() < at) {
      chain_.links.emplace_back();
      chain_.links.back().set.instance = static_cast<int>(chain_.links.size());
    }
    return &chain_.links[at - 1];
  }

  bool is_first(const ArcLink& link, const mail::HeaderField* taken, const std::string& what) {
    if (taken == nullptr) return true;
    note(set_name(static_cast<std::size_t>(link.set.instance)) + " has two " + what + " fields");
    return false;
  }

  // RFC 8617 5.2 step 3.
  void check(std::size_t i) {
    const ArcLink& link = chain_.links[i];
    const std::string name = set_name(i + 1);
    const std::string wanted = i == 0 ? "none" : "pass";
    if (link.results == nullptr) {
      note(name + " has no ARC-Authentication-Results field");
    } else if (link.signature == nullptr) {
      note(name + " has no ARC-Message-Signature field");
    } else if (link.seal == nullptr) {
      note(name + " has no ARC-Seal field");
    } else if (link.set.cv != wanted) {
      note("the seal of " + name + " does not say cv=" + wanted);
    }
  }

  const std::int64_t instances_max_;
  ArcChain chain_;
};

}  // namespace

base::Result<ArcSignature> read_arc_seal(const TagList& tags) {
  if (auto problem = missing(tags, {"a", "b", "d", "s"})) return base::error(*problem);
  // RFC 8617 4.1.3: what a seal covers is fixed.
  if (tags.find("h") != nullptr) return base::error("it has a tag h=");
  return read_signature(tags);
}

base::Result<ArcMessageSignature> read_arc_message_signature(const TagList& tags,
                                                             std::int64_t wall_s) {
  if (auto problem = missing(tags, {"a", "b", "bh", "d", "h", "s"})) return base::error(*problem);
  auto signature = read_signature(tags);
  if (!signature) return signature.error();
  ArcMessageSignature read;
  read.signature = signature.take();
  auto hash = decode_folded_base64(*tags.find("bh"));
  if (!hash || hash->size() != kDigestOctets) return base::error("tag bh= is no SHA-256");
  read.body_hash = std::move(*hash);
  if (!read_methods(tags, read)) return base::error("its canonicalisation is unknown");
  if (auto problem = read_fields(tags, read)) return base::error(*problem);
  if (!read_length(tags, read)) return base::error("tag l= is no number");
  if (auto problem = problem_of_expiry(tags, wall_s)) return base::error(*problem);
  if (!is_query_known(tags)) return base::error("its key is not in DNS (q=)");
  return read;
}

ArcChain collect_arc_sets(const mail::Headers& headers, const base::Limits& limits) {
  Collector collector(limits);
  for (const mail::HeaderField& field : headers.fields()) {
    if (field.is("ARC-Authentication-Results")) {
      collector.take_results(field);
    } else if (field.is("ARC-Message-Signature")) {
      collector.take_signature(field);
    } else if (field.is("ARC-Seal")) {
      collector.take_seal(field);
    }
  }
  return collector.finish();
}

}  // namespace dkim
