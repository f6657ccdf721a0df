#include "core/smtp/command_parser.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/mail/address.h"

namespace smtp {

namespace {

constexpr std::size_t kEnvidOctetsMax = 100;  // RFC 3461 4.4
constexpr std::size_t kOrcptOctetsMax = 500;  // RFC 3461 4.2
constexpr std::size_t kSizeDigitsMax = 20;    // RFC 1870 section 3

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_upper_hex(char c) { return is_digit(c) || (c >= 'A' && c <= 'F'); }
bool is_graphic(char c) { return c > 0x20 && c < 0x7f; }

std::string_view cut_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// The next word, taken off the front of `text` with the blanks behind it.
std::string_view take_word(std::string_view& text) {
  std::size_t end = 0;
  while (end < text.size() && !is_blank(text[end])) ++end;
  const std::string_view word = text.substr(0, end);
  text = cut_blanks(text.substr(end));
  return word;
}

Reply syntax(std::string text) { return {501, "5.5.4", std::move(text)}; }

struct Parameter {
  std::string keyword;  // upper case
  std::string_view value;
  bool has_value = false;
};

// RFC 5321 4.1.1.11 and 4.1.2, values with UTF-8 after RFC 6531 3.3.
Parsed<std::vector<Parameter>> parse_parameters(std::string_view text) {
  std::vector<Parameter> parameters;
  if (!text.empty() && !is_blank(text.front()))
    return syntax("A space must stand between '>' and the parameters");
  text = cut_blanks(text);
  while (!text.empty()) {
    const std::string_view word = take_word(text);
    const std::size_t equals = word.find('=');
    const std::string_view keyword = word.substr(0, equals);
    Parameter parameter{base::ascii_upper(keyword), {}, equals != std::string_view::npos};
    if (parameter.has_value) parameter.value = word.substr(equals + 1);

    const bool well_formed = !keyword.empty() && keyword.front() != '-' &&
                             std::all_of(keyword.begin(), keyword.end(), [](char c) {
                               return is_letter(c) || is_digit(c) || c == '-';
                             });
    if (!well_formed) return syntax("A parameter must look like KEYWORD or KEYWORD=value");
    if (parameter.has_value && parameter.value.empty())
      return syntax("The parameter " + parameter.keyword + " has nothing behind its '='");
    if (parameter.value.find('=') != std::string_view::npos && parameter.keyword != "AUTH")
      return syntax("The value of " + parameter.keyword + " must not contain '='");
    for (const Parameter& other : parameters)
      if (other.keyword == parameter.keyword)
        return syntax("The parameter " + parameter.keyword + " is given twice");
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

// The path behind `FROM:` or `TO:` with its parameters.
struct PathArgument {
  mail::Address address;
  std::vector<Parameter> parameters;
};

Parsed<PathArgument> parse_path_argument(std::string_view argument, std::string_view prefix,
                                         std::string_view bad_address_code) {
  if (!base::istarts_with(argument, prefix))
    return syntax("Syntax: " + std::string(prefix == "FROM:" ? "MAIL " : "RCPT ") +
                  std::string(prefix) + "<address>");
  // The blank that some clients put behind the colon is harmless.
  argument = cut_blanks(argument.substr(prefix.size()));
  base::Result<mail::Path> path = mail::parse_path(argument, true, prefix == "TO:");
  if (!path) {
    if (!base::is_utf8(argument))
      return Reply{553, "5.6.7", "The address is not in ASCII and not in UTF-8 (RFC 6531)"};
    return Reply{501, std::string(bad_address_code),
                 "Bad address: " + base::printable(path.message())};
  }
  Parsed<std::vector<Parameter>> parameters = parse_parameters(path->rest);
  if (const auto* refusal = std::get_if<Reply>(&parameters)) return *refusal;
  return PathArgument{std::move(path->address),
                      std::get<std::vector<Parameter>>(std::move(parameters))};
}

bool needs_smtputf8(const mail::Address& address) {
  return !base::is_ascii(address.local) || !base::is_ascii(address.domain);
}

Reply unknown_parameter(const std::string& keyword, std::string_view command) {
  return {555, "5.5.4",
          "The parameter " + base::printable(keyword, 40) + " of " + std::string(command) +
              " is not offered here; leave it out"};
}

// ---- MAIL ---------------------------------------------------------------------------------------

std::optional<Reply> set_size(mail::Envelope& envelope, const Parameter& parameter,
                              std::uint64_t message_octets_max) {
  const std::string_view digits = parameter.value;
  if (digits.empty() || digits.size() > kSizeDigitsMax ||
      !std::all_of(digits.begin(), digits.end(), is_digit))
    return syntax("SIZE= takes the number of octets of the message");
  const std::optional<std::uint64_t> octets = base::parse_unsigned(digits);
  if (!octets || *octets > message_octets_max)
    return Reply{552, "5.3.4",
                 "The message is too large: at most " + std::to_string(message_octets_max) +
                     " octets are taken; send less or split it"};
  envelope.size_declared = *octets;
  return std::nullopt;
}

std::optional<Reply> set_body(mail::Envelope& envelope, const Parameter& parameter) {
  if (base::iequals(parameter.value, "7BIT")) return std::nullopt;
  if (base::iequals(parameter.value, "8BITMIME")) {
    envelope.body = mail::BodyType::k8BitMime;
    return std::nullopt;
  }
  if (base::iequals(parameter.value, "BINARYMIME"))
    return Reply{504, "5.5.4", "BODY=BINARYMIME is not offered; use 8BITMIME and encode as base64"};
  return syntax("BODY= takes 7BIT or 8BITMIME");
}

std::optional<Reply> set_mail_parameter(mail::Envelope& envelope, const Parameter& parameter,
                                        std::uint64_t message_octets_max) {
  const std::string& keyword = parameter.keyword;
  if (keyword == "SIZE") return set_size(envelope, parameter, message_octets_max);
  if (keyword == "BODY") return set_body(envelope, parameter);
  if (keyword == "SMTPUTF8") {
    if (parameter.has_value) return syntax("SMTPUTF8 takes no value");
    envelope.smtputf8 = true;
    return std::nullopt;
  }
  if (keyword == "RET") {
    envelope.ret = base::ascii_upper(parameter.value);
    if (envelope.ret == "FULL" || envelope.ret == "HDRS") return std::nullopt;
    return syntax("RET= takes FULL or HDRS");
  }
  if (keyword == "ENVID") {
    if (parameter.value.empty() || parameter.value.size() > kEnvidOctetsMax ||
        !is_xtext(parameter.value))
      return syntax("ENVID= takes xtext of RFC 3461, at most 100 octets");
    envelope.envid = parameter.value;
    return std::nullopt;
  }
  if (keyword == "AUTH") {
    if (parameter.value == "<>" || (!parameter.value.empty() && is_xtext(parameter.value)))
      return std::nullopt;
    return syntax("AUTH= takes <> or an address in xtext");
  }
  if (keyword == "NOTIFY" || keyword == "ORCPT")
    return syntax(keyword + "= belongs to RCPT, not to MAIL");
  return unknown_parameter(keyword, "MAIL");
}

// ---- RCPT ---------------------------------------------------------------------------------------

std::optional<Reply> set_notify(mail::Recipient& recipient, const Parameter& parameter) {
  recipient.notify = base::ascii_upper(parameter.value);
  const auto conditions = base::split(recipient.notify, ',');
  const bool good = std::all_of(conditions.begin(), conditions.end(), [&](std::string_view c) {
    return c == "SUCCESS" || c == "FAILURE" || c == "DELAY" ||
           (c == "NEVER" && conditions.size() == 1);
  });
  // Longer lists can only repeat themselves.
  if (good && conditions.size() <= 3) return std::nullopt;
  return syntax("NOTIFY= takes NEVER alone, or a list of SUCCESS, FAILURE and DELAY");
}

// RFC 6533 section 3: `\x{HEX}` stands for a character; a backslash stands nowhere else. Raw UTF-8
// (utf-8-addr-unitext) only inside an SMTPUTF8 transaction.
bool is_utf8_address(std::string_view text, bool smtputf8) {
  if (!base::is_ascii(text) && !(smtputf8 && base::is_utf8(text))) return false;
  std::string ascii;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x80) continue;
    if (c != '\\') {
      ascii += c;
      continue;
    }
    if (text.substr(i, 3) != "\\x{") return false;
    const std::size_t close = text.find('}', i);
    if (close == std::string_view::npos) return false;
    const std::string_view hex = text.substr(i + 3, close - i - 3);
    if (hex.size() < 2 || hex.size() > 6 || !std::all_of(hex.begin(), hex.end(), is_upper_hex))
      return false;
    std::uint32_t point = 0;
    for (const char digit : hex)
      point =
          point * 16 + static_cast<std::uint32_t>(is_digit(digit) ? digit - '0' : digit - 'A' + 10);
    const bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
    const bool surrogate = point >= 0xd800 && point <= 0xdfff;
    if (control || surrogate || point > 0x10ffff) return false;
    i = close;
  }
  return is_xtext(ascii);
}

bool is_atom(std::string_view text) {
  constexpr std::string_view kSpecials = "()<>[]:;@\\,.\"";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_graphic(c) && kSpecials.find(c) == std::string_view::npos;
  });
}

std::optional<Reply> set_orcpt(mail::Recipient& recipient, const Parameter& parameter,
                               bool smtputf8) {
  const std::string_view value = parameter.value;
  const std::size_t semicolon = value.find(';');
  if (semicolon != std::string_view::npos && value.size() <= kOrcptOctetsMax &&
      is_atom(value.substr(0, semicolon))) {
    const std::string_view address = value.substr(semicolon + 1);
    const bool utf8_type = base::iequals(value.substr(0, semicolon), "utf-8");
    if (!address.empty() && (utf8_type ? is_utf8_address(address, smtputf8) : is_xtext(address))) {
      recipient.orcpt = value;
      return std::nullopt;
    }
  }
  return syntax("ORCPT= takes rfc822;ADDRESS in xtext of RFC 3461, at most 500 octets");
}

std::optional<Reply> set_rcpt_parameter(mail::Recipient& recipient, const Parameter& parameter,
                                        bool smtputf8) {
  const std::string& keyword = parameter.keyword;
  if (keyword == "NOTIFY") return set_notify(recipient, parameter);
  if (keyword == "ORCPT") return set_orcpt(recipient, parameter, smtputf8);
  constexpr std::array<std::string_view, 6> kOfMail = {"SIZE", "BODY",  "SMTPUTF8",
                                                       "RET",  "ENVID", "AUTH"};
  if (std::find(kOfMail.begin(), kOfMail.end(), keyword) != kOfMail.end())
    return syntax(keyword + " belongs to MAIL, not to RCPT");
  return unknown_parameter(keyword, "RCPT");
}

}  // namespace

Command parse_command(std::string_view line) {
  while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
  const std::string_view verb = take_word(line);
  return {base::ascii_upper(verb), line};
}

Parsed<mail::Envelope> parse_mail(std::string_view argument, std::uint64_t message_octets_max) {
  Parsed<PathArgument> parsed = parse_path_argument(argument, "FROM:", "5.1.7");
  if (auto* refusal = std::get_if<Reply>(&parsed)) return std::move(*refusal);
  const auto& [address, parameters] = std::get<PathArgument>(parsed);
  mail::Envelope envelope;
  if (!address.local.empty()) envelope.mail_from = address.str();
  for (const Parameter& parameter : parameters)
    if (auto refusal = set_mail_parameter(envelope, parameter, message_octets_max))
      return std::move(*refusal);
  if (needs_smtputf8(address) && !envelope.smtputf8)
    return Reply{553, "5.6.7", "The address is not in ASCII: say SMTPUTF8 in MAIL (RFC 6531)"};
  return envelope;
}

Parsed<mail::Recipient> parse_rcpt(std::string_view argument, bool smtputf8) {
  Parsed<PathArgument> parsed = parse_path_argument(argument, "TO:", "5.1.3");
  if (auto* refusal = std::get_if<Reply>(&parsed)) return std::move(*refusal);
  const auto& [address, parameters] = std::get<PathArgument>(parsed);
  if (address.local.empty())
    return Reply{501, "5.1.3", "A recipient must have an address; <> is for senders only"};
  if (needs_smtputf8(address) && !smtputf8)
    return Reply{553, "5.6.7", "The address is not in ASCII: say SMTPUTF8 in MAIL (RFC 6531)"};
  mail::Recipient recipient;
  recipient.address = address.domain.empty() ? address.local : address.str();
  for (const Parameter& parameter : parameters)
    if (auto refusal = set_rcpt_parameter(recipient, parameter, smtputf8))
      return std::move(*refusal);
  return recipient;
}

BdatArgument parse_bdat(std::string_view argument) {
  const std::string_view digits = take_word(argument);
  BdatArgument bdat;
  if (digits.empty() || digits.size() > kSizeDigitsMax) return bdat;
  bdat.octets = base::parse_unsigned(digits);
  bdat.last = base::iequals(argument, "LAST");
  bdat.malformed = !argument.empty() && !bdat.last;
  return bdat;
}

Parsed<AuthArgument> parse_auth(std::string_view argument) {
  AuthArgument auth;
  auth.mechanism = base::ascii_upper(take_word(argument));
  if (auth.mechanism.empty()) return syntax("Syntax: AUTH PLAIN [initial response]");
  if (argument.empty()) return auth;
  const std::string_view response = take_word(argument);
  if (!argument.empty()) return syntax("Syntax: AUTH PLAIN [initial response]");
  auth.initial_response = response == "=" ? std::string_view{} : response;
  return auth;
}

std::optional<PlainMessage> parse_plain(std::string_view message) {
  const auto parts = base::split(message, '\0');
  if (parts.size() != 3 || parts[1].empty() || parts[2].empty()) return std::nullopt;
  return PlainMessage{parts[0], parts[1], parts[2]};
}

bool is_hello_name(std::string_view name) {
  constexpr std::string_view kSpecials = "()<>@,;\\\"";
  return !name.empty() && name.size() <= 255 && std::all_of(name.begin(), name.end(), [&](char c) {
    return is_graphic(c) && kSpecials.find(c) == std::string_view::npos;
  });
}

bool looks_like_http(std::string_view verb) {
  constexpr std::array<std::string_view, 9> kMethods = {
      "GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "TRACE"};
  return std::find(kMethods.begin(), kMethods.end(), verb) != kMethods.end() ||
         (verb.size() > 1 && verb.back() == ':');
}

bool is_xtext(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!is_graphic(c) || c == '=') return false;
    if (c != '+') continue;
    if (i + 2 >= text.size() || !is_upper_hex(text[i + 1]) || !is_upper_hex(text[i + 2]))
      return false;
    // RFC 3461 4.2 and 4.4: what is encoded is printable ASCII; a NUL or CR would split reports.
    const char high = text[i + 1];
    if (high < '2' || high > '7' || (high == '7' && text[i + 2] == 'F')) return false;
    i += 2;
  }
  return true;
}

}  // namespace smtp
