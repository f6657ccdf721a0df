#include "relayd/main/relayctl_check.h"

#include <netdb.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/limits.h"
#include "core/base/units.h"
#include "core/mail/address.h"
#include "core/mail/headers.h"
#include "core/net/loop.h"
#include "core/net/socket_address.h"
#include "relayd/ingress/inquiry.h"
#include "relayd/main/relayctl_client.h"

namespace relayctl {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kPieceOctets = 64 * 1024;
constexpr std::size_t kShownOctets = 300;  // of one DNS record or reason

struct CheckValues {
  std::string ip, helo, mail_from, dns, file, receiver = "relayd", engine = "native",
                                              profile = "rfc9989", mode = "standard";
  std::vector<std::string> sealers, authserv_ids;
  unsigned timeout_s = 10;
  bool has_mail_from = false;
};

// ---- What is checked, made of the arguments -----------------------------------------------------

policy::JudgementRules rules_of(const CheckValues& values) {
  policy::JudgementRules rules;
  if (values.engine == "libspf2") {
    rules.spf_engine = spf::Engine::kLibspf2;
  } else if (values.engine != "native") {
    throw Failure("--spf-engine must be native or libspf2");
  }
  if (values.profile == "rfc7489") {
    rules.dmarc_profile = policy::DmarcProfile::kRfc7489;
  } else if (values.profile != "rfc9989") {
    throw Failure("--dmarc-profile must be rfc9989 or rfc7489");
  }
  for (const std::string& sealer : values.sealers) {
    const auto name = mail::normalize_domain(sealer);
    if (!name) throw Failure("--trusted-sealer " + sealer + " is no domain name");
    rules.trusted_sealers.push_back(*name);
  }
  return rules;
}

std::string checked_ip(const std::string& text) {
  if (!net::SocketAddress::from_ip(text, 25)) {
    throw Failure("--ip " + text + " is no IP address; write 192.0.2.1 or 2001:db8::1");
  }
  return text;
}

// HOST:PORT with a name for HOST, such as localhost: the first address the system has for it.
std::string server_of(const std::string& text) {
  if (net::SocketAddress::parse(text) || net::SocketAddress::from_ip(text, 53)) return text;
  const auto colon = std::min(text.rfind(':'), text.size());
  const std::string host = text.substr(0, colon);
  const std::string port = colon == text.size() ? "53" : text.substr(colon + 1);
  for (const int family : {AF_INET, AF_INET6}) {
    addrinfo hints{};
    hints.ai_family = family;
    hints.ai_socktype = SOCK_DGRAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) continue;
    std::array<char, INET6_ADDRSTRLEN> ip{};
    const bool good = getnameinfo(found->ai_addr, found->ai_addrlen, ip.data(), ip.size(), nullptr,
                                  0, NI_NUMERICHOST) == 0;
    freeaddrinfo(found);
    if (!good) continue;
    std::string address = family == AF_INET6 ? "[" : "";
    address.append(ip.data()).append(family == AF_INET6 ? "]:" : ":").append(port);
    return address;
  }
  throw Failure("--dns " + text + ": there is no such host; write HOST:PORT");
}

dns::ResolverOptions resolver_options(const CheckValues& values, const base::Limits& limits) {
  dns::ResolverOptions options;
  if (!values.dns.empty()) options.servers = {server_of(values.dns)};
  options.timeout_ms = limits.dns_timeout;
  return options;
}

base::Limits limits_of(const CheckValues& values) {
  base::Limits limits;
  limits.judgement_timeout = std::int64_t{values.timeout_s} * base::kSecond;
  limits.dns_timeout = std::max<std::int64_t>(limits.judgement_timeout / 2, 100);
  return limits;
}

// CRLF line ends, as SMTP has them; a mailbox's "From " line goes.
std::string read_message(const std::string& path, const base::Limits& limits) {
  std::ifstream file(path, std::ios::binary);
  if (!file || (file.peek(), file.bad())) throw Failure(path + ": cannot be read");
  // Piece by piece: what is too large may also be without an end.
  std::string text;
  std::string piece(kPieceOctets, '\0');
  while (file && std::cmp_less_equal(text.size(), limits.message_size)) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    text.append(piece, 0, static_cast<std::size_t>(file.gcount()));
  }
  if (std::cmp_greater(text.size(), limits.message_size)) {
    throw Failure(path + ": larger than limits.message_size (" +
                  base::format_size(limits.message_size) + ")");
  }
  // Not "From : somebody", which is a field with a blank before its colon (RFC 5322 4.5).
  const auto behind = text.find_first_not_of(' ', 5);
  if (text.starts_with("From ") && behind != std::string::npos && text[behind] != ':') {
    text.erase(0, std::min(text.find('\n'), text.size() - 1) + 1);
  }
  std::string message;
  message.reserve(text.size() + text.size() / 32);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) message += '\r';
    message += text[i];
  }
  return message;
}

// ---- One judgement on a loop of its own ---------------------------------------------------------

struct Judged {
  policy::Judgement judgement;
  ingress::InquirySteps steps;
};

Judged judge(const CheckValues& values, const std::string& message) {
  const base::Limits limits = limits_of(values);
  const std::size_t end = mail::header_section_end(message);
  const std::size_t section = end == std::string::npos ? message.size() : end;
  const auto headers = mail::Headers::scan(std::string_view(message).substr(0, section),
                                           static_cast<std::size_t>(limits.header_fields));
  if (!headers) throw Failure(values.file + ": " + headers.message());

  net::Loop loop;
  auto resolver = dns::make_unbound_resolver(loop, resolver_options(values, limits));
  if (!resolver) throw Failure(resolver.message());
  auto library = dkim::Library::open();
  if (!library) throw Failure(library.message());
  ingress::InquiryFacts facts;
  facts.ip = values.ip;
  facts.helo = values.helo;
  facts.mail_from = values.mail_from;
  facts.receiver = values.receiver;
  facts.wall_s = base::SystemClock().wall_ms() / 1000;
  facts.check_helo = !message.empty();
  const auto mode = policy::parse_inbound_mode(values.mode);
  if (!mode) throw Failure("--inbound must be standard, enhanced or strict");
  facts.mode = *mode;
  if (!values.has_mail_from) {
    // What a final delivery wrote down of the envelope (RFC 5321 4.4).
    if (const auto path = headers->value("Return-Path")) {
      const auto parsed = mail::parse_path(*path, true);
      if (parsed && !parsed->is_null()) facts.mail_from = parsed->address.str();
    }
  }
  if (!values.authserv_ids.empty()) {
    facts.authenticated_user = "relay";
    for (const std::string& id : values.authserv_ids) {
      const auto name = mail::normalize_domain(id);
      if (!name) throw Failure("--trusted-authserv-id " + id + " is no host name");
      facts.trusted_authserv_ids.push_back(*name);
    }
  }

  Judged judged;
  const auto inquiry = std::make_shared<ingress::Inquiry>(
      ingress::InquiryTools{&loop, resolver->get(), *library}, limits, rules_of(values),
      std::move(facts), *headers, &judged.steps);
  std::string_view body = std::string_view(message).substr(section);
  if (body.starts_with("\r\n")) body.remove_prefix(2);
  // In pieces, as from a connection: answers come in between.
  std::function<void()> next = [&] {
    const std::string_view piece = body.substr(0, kPieceOctets);
    body.remove_prefix(piece.size());
    inquiry->body(piece);
    if (!body.empty()) return loop.post(next);
    inquiry->finish([&](policy::Judgement judgement) {
      judged.judgement = std::move(judgement);
      loop.stop();
    });
  };
  loop.post([&] {
    inquiry->start();
    next();
  });
  loop.run();
  return judged;
}

// ---- For scripts and for people -----------------------------------------------------------------

std::string_view name(dns::Type type) {
  switch (type) {
    case dns::Type::kA:
      return "A";
    case dns::Type::kNs:
      return "NS";
    case dns::Type::kCname:
      return "CNAME";
    case dns::Type::kPtr:
      return "PTR";
    case dns::Type::kMx:
      return "MX";
    case dns::Type::kTxt:
      return "TXT";
    case dns::Type::kAaaa:
      return "AAAA";
  }
  return "?";
}

std::string said(const dns::Answer& answer) {
  switch (answer.status) {
    case dns::Status::kNoData:
      return "no record of this type";
    case dns::Status::kNxDomain:
      return "no such name";
    case dns::Status::kServFail:
      return "the server failed";
    case dns::Status::kTimeout:
      return "no answer in time";
    case dns::Status::kOk:
      break;
  }
  std::string text;
  for (const std::string& record : answer.records) {
    if (text.size() > kShownOctets) return text + ", ...";
    text += (text.empty() ? "" : ", ") + base::printable(record, kShownOctets);
  }
  return text;
}

ordered_json questions_json(const ingress::InquirySteps& steps) {
  ordered_json rows = ordered_json::array();
  for (const auto& [question, answer] : steps.questions) {
    rows.push_back(
        {{"name", question.name}, {"type", name(question.type)}, {"answer", said(answer)}});
  }
  return rows;
}

void print_steps(const std::string& title, const std::vector<std::string>& steps) {
  if (steps.empty()) return;
  std::cout << "\n" << title << "\n";
  for (const std::string& step : steps) std::cout << "  " << base::printable(step, 1000) << "\n";
}

void print_questions(const ingress::InquirySteps& steps) {
  std::cout << "\nDNS was asked " << steps.questions.size() << " questions\n";
  for (const auto& [question, answer] : steps.questions) {
    std::string type(name(question.type));
    type.resize(5, ' ');
    std::cout << "  " << type << base::printable(question.name) << "  " << said(answer) << "\n";
  }
}

void print_line(std::string label, const std::string& text) {
  label.resize(13, ' ');
  std::cout << label << base::printable(text, 1000) << "\n";
}

std::string with_reason(std::string_view result, const std::string& about,
                        const std::string& reason) {
  std::string text(result);
  if (!about.empty()) text += "  " + about;
  if (!reason.empty()) text += "  (" + reason + ")";
  return text;
}

void print_message(const Judged& judged) {
  const policy::Judgement& j = judged.judgement;
  if (j.spf) {
    print_line("SPF", with_reason(spf::name(j.spf->result), j.spf->domain, j.spf->reason));
    if (!j.spf->explanation.empty()) print_line("", "it says: " + j.spf->explanation);
  } else {
    print_line("SPF", "not asked: the path is vouched for by the authenticated relay");
  }
  if (j.helo) {
    print_line("SPF of HELO",
               with_reason(spf::name(j.helo->result), j.helo->domain, j.helo->reason));
  }
  if (j.dkim.empty()) print_line("DKIM", "none  (the message has no signature)");
  for (const dkim::SignatureVerdict& one : j.dkim) {
    print_line("DKIM",
               with_reason(dkim::name(one.result),
                           one.domain + " s=" + one.selector + " " + one.algorithm, one.reason));
  }
  print_line("DMARC",
             with_reason(policy::name(j.dmarc.result), j.dmarc.from_domain, j.dmarc.reason));
  if (!j.dmarc.policy_domain.empty()) {
    print_line("", "policy " + j.dmarc.policy + " of " + j.dmarc.policy_domain + "; aligned: SPF " +
                       (j.dmarc.spf_aligned ? "yes" : "no") + ", DKIM " +
                       (j.dmarc.dkim_aligned ? "yes" : "no"));
  }
  print_line("ARC", with_reason(dkim::name(j.arc.result), "", j.arc.reason));
  for (const dkim::ArcSet& set : j.arc.sets) {
    print_line("",
               "i=" + std::to_string(set.instance) + " sealed by " + set.sealer + " cv=" + set.cv);
  }
  print_line("Ticket", std::string(policy::name(j.disposition)));
  for (const std::string& reason : j.reasons) print_line("", reason);
  print_steps("How SPF was evaluated", judged.steps.spf);
  print_steps("How SPF of the HELO name was evaluated", judged.steps.helo);
  print_steps("How DMARC was evaluated", judged.steps.dmarc);
  print_questions(judged.steps);
}

void check_message(const CheckValues& values, bool as_json) {
  const Judged judged = judge(values, read_message(values.file, limits_of(values)));
  if (!as_json) return print_message(judged);
  auto json = ordered_json::parse(policy::authentication_json(judged.judgement));
  json["dns"] = questions_json(judged.steps);
  std::cout << json.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
}

// An envelope alone: a message without header and body has nothing else to judge.
void check_spf(const CheckValues& values, bool as_json) {
  const Judged judged = judge(values, "");
  const spf::Verdict& verdict = *judged.judgement.spf;
  if (as_json) {
    const ordered_json json = {{"result", spf::name(verdict.result)},
                               {"explanation", verdict.explanation},
                               {"domain", verdict.domain},
                               {"reason", verdict.reason},
                               {"steps", judged.steps.spf},
                               {"dns", questions_json(judged.steps)}};
    std::cout << json.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
    return;
  }
  print_line("SPF", with_reason(spf::name(verdict.result), verdict.domain, verdict.reason));
  if (!verdict.explanation.empty()) print_line("", "it says: " + verdict.explanation);
  print_steps("How it was evaluated", judged.steps.spf);
  print_questions(judged.steps);
}

// ---- Arguments ----------------------------------------------------------------------------------

void add_common(CLI::App& command, CheckValues& v) {
  command.add_option("--helo", v.helo, "the name the client said in EHLO");
  command.add_option("--dns", v.dns, "HOST:PORT of the DNS server to ask; default: the system's");
  command.add_option("--receiver", v.receiver, "our own name, for the macro %{r}");
  command.add_option("--spf-engine", v.engine, "native or libspf2")->capture_default_str();
  command.add_option("--timeout", v.timeout_s, "seconds for all of DNS")
      ->capture_default_str()
      ->check(CLI::Range(1, 600));
}

}  // namespace

void add_check(CLI::App& app, const bool& json, std::function<void()>& chosen) {
  CLI::App* check = app.add_subcommand("check", "judge a client or a message as relayd would");
  check->require_subcommand(1);

  auto spf_values = std::make_shared<CheckValues>();
  CLI::App* spf = check->add_subcommand("spf", "may this client send for this address? (RFC 7208)");
  spf->add_option("--ip", spf_values->ip, "the client's address")->required();
  spf->add_option("--mail-from", spf_values->mail_from,
                  "the envelope's sender; empty: the HELO name");
  add_common(*spf, *spf_values);
  spf->callback([&json, &chosen, spf_values] {
    chosen = [&json, spf_values] {
      spf_values->ip = checked_ip(spf_values->ip);
      check_spf(*spf_values, json);
    };
  });

  auto values = std::make_shared<CheckValues>();
  CLI::App* message = check->add_subcommand("message", "SPF, DKIM, DMARC and ARC of a message");
  message->add_option("FILE", values->file, "the message, with CRLF or LF line ends")->required();
  message->add_option("--ip", values->ip, "the client's address; without it SPF is none");
  const CLI::Option* mail_from = message->add_option(
      "--mail-from", values->mail_from, "the envelope's sender; default: the Return-Path field");
  add_common(*message, *values);
  message->add_option("--dmarc-profile", values->profile, "rfc9989 or rfc7489")
      ->capture_default_str();
  message->add_option("--inbound", values->mode, "standard, enhanced or strict: what becomes of it")
      ->capture_default_str();
  message->add_option("--trusted-sealer", values->sealers,
                      "a domain whose ARC sets are believed; may be given several times");
  message->add_option("--trusted-authserv-id", values->authserv_ids,
                      "judge as behind the authenticated relay of an organisation whose server of "
                      "this name writes Authentication-Results");
  message->callback([&json, &chosen, values, mail_from] {
    values->has_mail_from = mail_from->count() > 0;
    chosen = [&json, values] {
      if (!values->ip.empty()) values->ip = checked_ip(values->ip);
      check_message(*values, json);
    };
  });
}

}  // namespace relayctl
