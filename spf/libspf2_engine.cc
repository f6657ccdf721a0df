#include "spf/libspf2_engine.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/types.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>

extern "C" {
#include <spf2/spf.h>
#include <spf2/spf_dns.h>
#include <spf2/spf_dns_rr.h>
#include <spf2/spf_log.h>
#include <spf2/spf_record.h>
#include <spf2/spf_request.h>
#include <spf2/spf_response.h>
#include <spf2/spf_server.h>
}

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "spf/domain_name.h"
#include "spf/record.h"
#include "spf/texts.h"

namespace spf {
namespace {

__attribute__((noreturn)) void on_library_error(const char*, int, const char* text) {
  base::log_error("libspf2 cannot go on", {{"reason", text}});
  std::abort();
}
void on_library_message(const char*, int, const char* text) {
  base::log_debug("libspf2", {{"text", text}});
}

// The handlers are process-wide variables of the library; its own write to standard error.
void install_handlers() {
  static std::once_flag once;
  std::call_once(once, [] {
    SPF_error_handler = on_library_error;
    SPF_warning_handler = on_library_message;
    SPF_info_handler = on_library_message;
    SPF_debug_handler = on_library_message;
  });
}

struct Free {
  void operator()(SPF_server_t* server) const { SPF_server_free(server); }
  void operator()(SPF_request_t* request) const { SPF_request_free(request); }
  void operator()(SPF_response_t* response) const { SPF_response_free(response); }
  void operator()(SPF_record_t* record) const { SPF_record_free(record); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// The library keeps 512 octets of mechanisms (an ip6 is 20) and forgets the rest without a word.
// This many fit, whatever they are.
constexpr std::size_t kMechanismsMax = 12;
constexpr std::size_t kTermsMax = 10;  // RFC 7208 4.6.4: the eleventh that is reached is an error
constexpr std::size_t kRecordsMax = 200;  // of one answer

// The library works on aliases; this is what they stand for.
class Names {
 public:
  struct Entry {
    std::string domain_spec;            // exp=: as published
    std::optional<std::string> target;  // all others; absent: no name that DNS can have
    std::string record_domain;          // whose record names it
    bool any_address = false;           // a, mx: a prefix of /0 for the client's family
  };
  std::string alias_for(Entry entry) {
    entries_.push_back(std::move(entry));
    return "n" + std::to_string(entries_.size() - 1) + std::string(kSuffix);
  }
  // nullptr: no alias but a name from an answer.
  [[nodiscard]] const Entry* find(std::string_view alias) const {
    if (alias.size() <= kSuffix.size() + 1 || alias.front() != 'n') return nullptr;
    if (alias.substr(alias.size() - kSuffix.size()) != kSuffix) return nullptr;
    const auto index = base::parse_unsigned(alias.substr(1, alias.size() - kSuffix.size() - 1));
    return index && *index < entries_.size() ? &entries_[*index] : nullptr;
  }

 private:
  static constexpr std::string_view kSuffix = ".alias.spf";
  std::vector<Entry> entries_;
};

struct Run {
  Lookup& lookup;
  MacroFacts facts;  // `domain` changes with the record
  Names names{};
  bool first_record = true;
  bool hosts_of_ptr = false;  // the addresses asked for now are those of a PTR's names
  bool any_address = false;   // ... or of an mx with /0
  std::string problem{};      // what was wrong with a record
};

Run& run_of(SPF_server_t* server) { return *static_cast<Run*>(server->resolver->hook); }

ns_type library_type(dns::Type type) {
  switch (type) {
    case dns::Type::kAaaa:
      return ns_t_aaaa;
    case dns::Type::kMx:
      return ns_t_mx;
    case dns::Type::kPtr:
      return ns_t_ptr;
    default:
      return ns_t_a;
  }
}

std::optional<dns::Type> our_type(ns_type type) {
  switch (type) {
    case ns_t_a:
      return dns::Type::kA;
    case ns_t_aaaa:
      return dns::Type::kAaaa;
    case ns_t_mx:
      return dns::Type::kMx;
    case ns_t_ptr:
      return dns::Type::kPtr;
    default:
      return std::nullopt;
  }
}

bool put_record(SPF_dns_rr_t* rr, int at, dns::Type type, const std::string& record) {
  const std::size_t size = std::max(record.size() + 1, sizeof(in6_addr));
  if (SPF_dns_rr_buf_realloc(rr, at, size) != SPF_E_SUCCESS) return false;
  SPF_dns_rr_data_t* data = rr->rr[at];
  if (type == dns::Type::kA) return inet_pton(AF_INET, record.c_str(), &data->a) == 1;
  if (type == dns::Type::kAaaa) return inet_pton(AF_INET6, record.c_str(), &data->aaaa) == 1;
  std::memcpy(data, record.c_str(), record.size() + 1);
  return true;
}

// What a question of the library leads to, as its layer wants it.
struct Reply {
  Lookup::State state = Lookup::State::kStop;
  std::vector<std::string> records;
};

// The library takes a length of 0 for an error or for "none given": where any address will do, it
// gets the client's.
Reply addresses(const Run& run, const Lookup::Found& found, bool any_address) {
  if (found.state != Lookup::State::kFound) return {found.state, {}};
  if (any_address) return {found.state, {run.facts.ip}};
  return {found.state, *found.records};
}

Reply client_names(Run& run) {
  Lookup::Hosts hosts = run.lookup.client_names();
  run.hosts_of_ptr = true;
  run.any_address = false;
  if (hosts.state == Lookup::State::kTemporary) return {Lookup::State::kVoid, {}};  // RFC 7208 5.5
  if (hosts.state == Lookup::State::kVoid && !run.lookup.count_void()) return {};
  return {hosts.state, std::move(hosts.names)};
}

Reply ask(Run& run, std::string_view domain, dns::Type type) {
  const Names::Entry* entry = run.names.find(domain);
  if (entry == nullptr && type != dns::Type::kPtr) {
    Reply reply = addresses(run, run.lookup.addresses(base::ascii_lower(domain)), run.any_address);
    // RFC 7208 5.5: a name behind a PTR whose address cannot be had is skipped.
    if (run.hosts_of_ptr && reply.state == Lookup::State::kTemporary) {
      reply.state = Lookup::State::kVoid;
    }
    return reply;
  }
  if (!run.lookup.count_term()) return {};
  if (type == dns::Type::kPtr) return client_names(run);
  if (!entry->target) return {Lookup::State::kVoid, {}};
  if (type != dns::Type::kMx) {
    return addresses(run, run.lookup.ask_for_term(*entry->target, type), entry->any_address);
  }
  Lookup::Hosts hosts = run.lookup.exchangers(*entry->target);
  run.hosts_of_ptr = false;
  run.any_address = entry->any_address;
  return {hosts.state, std::move(hosts.names)};
}

SPF_dns_rr_t* lookup_hook(SPF_dns_server_t* dns, const char* domain, ns_type type, int) {
  Run& run = *static_cast<Run*>(dns->hook);
  const auto wanted = our_type(type);
  if (!wanted) return SPF_dns_rr_new_init(dns, domain, type, 0, HOST_NOT_FOUND);
  Reply reply = ask(run, domain, *wanted);
  run.lookup.trace().line("libspf2", "asked");
  switch (reply.state) {
    case Lookup::State::kVoid:
      return SPF_dns_rr_new_init(dns, domain, type, 0, HOST_NOT_FOUND);
    case Lookup::State::kTemporary:
    case Lookup::State::kStop:
      return SPF_dns_rr_new_init(dns, domain, type, 0, TRY_AGAIN);
    case Lookup::State::kFound:
      break;
  }
  if (reply.records.size() > kRecordsMax) reply.records.resize(kRecordsMax);
  SPF_dns_rr_t* rr = SPF_dns_rr_new_init(dns, domain, library_type(*wanted), 0, NETDB_SUCCESS);
  if (rr == nullptr) return nullptr;
  for (const std::string& record : reply.records) {
    if (put_record(rr, rr->num_rr, *wanted, record)) ++rr->num_rr;
  }
  return rr;
}

// The alias of a term's target, "" where the term never matches. nullopt: stop.
std::optional<std::string> alias_for(Run& run, std::string_view domain_spec,
                                     bool any_address = false) {
  Target target = expand_target(domain_spec, run.facts, run.lookup);
  if (target.stop) return std::nullopt;
  if (target.never_matches) return "";
  return run.names.alias_for({{}, std::move(target.name), run.facts.domain, any_address});
}

// `ptr` compares its name with names from answers, so it must be the real one.
std::optional<std::string> real_name(Run& run, std::string_view domain_spec) {
  const Target target = expand_target(domain_spec, run.facts, run.lookup);
  if (target.stop) return std::nullopt;
  const auto name = target.name ? checkable_domain(*target.name) : std::nullopt;
  return name ? *name : run.names.alias_for({{}, std::nullopt, run.facts.domain});
}

// The library takes a length of 0 for "none given", so that case is written as the two halves of
// the address space.
std::string network_term(const std::string& head, const Mechanism& mechanism) {
  const bool v6 = mechanism.kind == Kind::kIp6;
  const unsigned prefix = v6 ? mechanism.prefix_v6 : mechanism.prefix_v4;
  if (prefix != 0) return head + ":" + text_of(mechanism.network) + "/" + std::to_string(prefix);
  return v6 ? head + ":::/1 " + head + ":8000::/1" : head + ":0.0.0.0/1 " + head + ":128.0.0.0/1";
}

bool is_network(const Mechanism& mechanism) {
  return mechanism.kind == Kind::kIp4 || mechanism.kind == Kind::kIp6;
}

// A mechanism as the library is given it, "" where it never matches. nullopt: stop.
std::optional<std::string> library_term(Run& run, const Mechanism& mechanism) {
  const std::string head =
      static_cast<char>(mechanism.qualifier) + std::string(name(mechanism.kind));
  if (mechanism.kind == Kind::kAll) return head;
  if (is_network(mechanism)) return network_term(head, mechanism);
  const bool networks = mechanism.kind == Kind::kA || mechanism.kind == Kind::kMx;
  const bool any_address =
      networks && (run.facts.client.v6 ? mechanism.prefix_v6 : mechanism.prefix_v4) == 0;
  const auto domain = mechanism.kind == Kind::kPtr
                          ? real_name(run, mechanism.domain_spec)
                          : alias_for(run, mechanism.domain_spec, any_address);
  if (!domain || domain->empty()) return domain;
  std::string term = head + ":" + *domain;
  if (networks && mechanism.prefix_v4 != 0) term += "/" + std::to_string(mechanism.prefix_v4);
  if (networks && mechanism.prefix_v6 != 0) term += "//" + std::to_string(mechanism.prefix_v6);
  return term;
}

bool is_network_of(const Mechanism& mechanism, const Address& client) {
  const unsigned prefix = client.v6 ? mechanism.prefix_v6 : mechanism.prefix_v4;
  return is_within(client, mechanism.network, prefix);
}

// The mechanisms that the library is given: up to the first `all` (RFC 7208 5.1: what follows is
// never tested), and of a long record only what can decide: no networks without the client, nothing
// behind one with it, nothing behind the term that is one too many.
std::vector<Mechanism> deciding(const std::vector<Mechanism>& mechanisms, const Address& client) {
  const bool all_fit = mechanisms.size() <= kMechanismsMax;
  std::vector<Mechanism> result;
  std::size_t terms = 0;
  for (const Mechanism& mechanism : mechanisms) {
    const bool network = is_network(mechanism);
    if (!all_fit && network && !is_network_of(mechanism, client)) continue;
    result.push_back(mechanism);
    if (mechanism.kind == Kind::kAll) break;
    if (!all_fit && (network || ++terms > kTermsMax)) break;
  }
  return result;
}

// The record in the one form that the library is given: what decides, then redirect (unless there
// is an `all`, RFC 7208 6.1) and exp, all domains aliases. nullopt: stop.
std::optional<std::string> library_record(Run& run, const Record& record) {
  std::string text = "v=spf1";
  for (const Mechanism& mechanism : deciding(record.mechanisms, run.facts.client)) {
    const auto term = library_term(run, mechanism);
    if (!term) return std::nullopt;
    if (!term->empty()) text += " " + *term;
  }
  if (!record.has_all && !record.redirect.empty()) {
    const Target target = expand_target(record.redirect, run.facts, run.lookup);
    if (target.stop) return std::nullopt;
    text += " redirect=" + run.names.alias_for({{}, target.name, run.facts.domain});
  }
  if (!record.explanation.empty()) {
    text += " exp=" +
            run.names.alias_for({std::string(record.explanation), std::nullopt, run.facts.domain});
  }
  return text;
}

SPF_errcode_t refused(Run& run, SPF_errcode_t error, std::string problem) {
  run.problem = std::move(problem);
  return error;
}

// The record of a domain in the form the library is given, or an error code with run.problem set.
SPF_errcode_t prepare_record(Run& run, const std::string& domain, std::string& text) {
  const Fetched fetched = fetch_record(run.lookup, domain);
  if (!fetched.record) {
    if (fetched.reason.empty()) return SPF_E_DNS_ERROR;
    return refused(run,
                   fetched.error == Result::kNone        ? SPF_E_NOT_SPF
                   : fetched.error == Result::kTempError ? SPF_E_DNS_ERROR
                                                         : SPF_E_SYNTAX,
                   fetched.reason);
  }
  run.facts.domain = domain;
  const auto record = library_record(run, *fetched.record);
  if (!record) return SPF_E_DNS_ERROR;
  text = *record;
  return SPF_E_SUCCESS;
}

// Fetches and compiles the record of the request's current domain (RFC 7208 4.4 to 4.6).
SPF_errcode_t get_record_hook(SPF_server_t* server, SPF_request_t* request,
                              SPF_response_t* response, SPF_record_t** compiled) {
  Run& run = run_of(server);
  *compiled = nullptr;
  const Names::Entry* entry = run.names.find(request->cur_dom);
  if (entry == nullptr) return SPF_E_INTERNAL_ERROR;
  if (!run.first_record && !run.lookup.count_term()) return SPF_E_DNS_ERROR;
  run.first_record = false;
  const std::string domain = entry->target.value_or("");  // the table grows
  if (!has_two_labels(domain)) {
    return refused(run, SPF_E_NOT_SPF, entry->record_domain + ": a term leads to no domain name");
  }
  std::string record;
  SPF_errcode_t error = prepare_record(run, domain, record);
  if (error != SPF_E_SUCCESS) return error;
  error = SPF_record_compile(server, response, compiled, record.c_str());
  if (error == SPF_E_SUCCESS) return error;
  return refused(
      run, SPF_E_SYNTAX,
      base::printable(domain) + ": the SPF record cannot be read: " + SPF_strerror(error));
}

// The library asks for an explanation at every mechanism that does not pass, also inside includes.
// It gets the alias back as the text, which tells afterwards which one belongs to the verdict.
SPF_errcode_t get_explanation_hook(SPF_server_t*, const char* domain, char** buffer, size_t* size) {
  const std::string alias(domain);  // `domain` lies in *buffer
  if (*size < alias.size() + 1) {
    auto* larger = static_cast<char*>(std::realloc(*buffer, alias.size() + 1));
    if (larger == nullptr) return SPF_E_NO_MEMORY;
    *buffer = larger;
    *size = alias.size() + 1;
  }
  std::memcpy(*buffer, alias.c_str(), alias.size() + 1);
  return SPF_E_SUCCESS;
}

Result mapped(SPF_result_t result, SPF_errcode_t error, const Lookup& lookup) {
  switch (result) {
    case SPF_RESULT_NEUTRAL:
      return Result::kNeutral;
    case SPF_RESULT_PASS:
      return Result::kPass;
    case SPF_RESULT_FAIL:
      return Result::kFail;
    case SPF_RESULT_SOFTFAIL:
      return Result::kSoftFail;
    case SPF_RESULT_NONE:
      return Result::kNone;
    default:
      break;
  }
  // The library's own error results mix the two kinds (an `exists` that cannot be expanded is
  // temporary for it, a failing DNS server at the top INVALID): the code decides.
  if (error == SPF_E_NO_MEMORY) return Result::kTempError;
  if (error == SPF_E_DNS_ERROR && !lookup.failed().empty()) return Result::kTempError;
  return Result::kPermError;
}

std::string reason_of(const MacroFacts& request, Result result, SPF_errcode_t error,
                      const Run& run) {
  const std::string who = base::printable(request.domain);
  switch (result) {
    case Result::kPass:
      return request.ip + " is a permitted sender of " + who;
    case Result::kFail:
      return request.ip + " is not a permitted sender of " + who;
    case Result::kSoftFail:
      return request.ip + " is probably not a permitted sender of " + who;
    case Result::kNeutral:
      return who + " says nothing about " + request.ip;
    case Result::kNone:
      return who + " has no SPF record";
    case Result::kTempError:
      return "DNS did not answer about " + who;
    case Result::kPermError:
      break;
  }
  if (!run.lookup.exceeded().empty()) return run.lookup.exceeded();
  if (!run.problem.empty()) return run.problem;
  return std::string("the SPF record of ") + who + " cannot be evaluated: " + SPF_strerror(error);
}

bool set_client(SPF_request_t* request, const MacroFacts& facts) {
  const auto error = facts.client.v6 ? SPF_request_set_ipv6_str(request, facts.ip.c_str())
                                     : SPF_request_set_ipv4_str(request, facts.ip.c_str());
  if (error != SPF_E_SUCCESS) return false;
  return SPF_request_set_helo_dom(request, "helo.spf") == SPF_E_SUCCESS &&
         SPF_request_set_env_from(request, "sender@domain.spf") == SPF_E_SUCCESS;
}

Finding finish(const MacroFacts& request, const Run& run, SPF_response_t* response, Result result,
               SPF_errcode_t error) {
  Finding finding;
  if (!run.lookup.exceeded().empty()) result = Result::kPermError;
  finding.result = result;
  finding.reason = reason_of(request, result, error, run);
  if (result != Result::kFail || response->explanation == nullptr) return finding;
  const Names::Entry* entry = run.names.find(response->explanation);
  if (entry == nullptr) return finding;
  finding.explanation = entry->domain_spec;
  finding.explanation_domain = entry->record_domain;
  return finding;
}

}  // namespace

Finding check_host_libspf2(const MacroFacts& facts, Lookup& lookup) {
  install_handlers();
  Run run{lookup, facts};
  SPF_dns_server_t layer{};  // no destructor: the library leaves it alone
  layer.lookup = lookup_hook;
  layer.get_spf = get_record_hook;
  layer.get_exp = get_explanation_hook;
  layer.name = "answers";
  layer.hook = &run;

  const Owned<SPF_server_t> server(SPF_server_new_dns(&layer, 0));
  const Owned<SPF_request_t> client(server ? SPF_request_new(server.get()) : nullptr);
  const Owned<SPF_response_t> response(client ? SPF_response_new(client.get()) : nullptr);
  Finding failed;
  failed.result = Result::kTempError;
  failed.reason = "out of memory";
  if (!response) return failed;
  if (SPF_server_set_rec_dom(server.get(), "receiver.spf") != SPF_E_SUCCESS ||
      !set_client(client.get(), facts)) {
    return failed;
  }

  // SPF_request_query_mailfrom would pass every loopback address unseen; these are its other steps.
  const std::string start = run.names.alias_for({{}, facts.domain, facts.domain});
  client->cur_dom = start.c_str();
  SPF_record_t* fetched = nullptr;
  SPF_errcode_t error = get_record_hook(server.get(), client.get(), response.get(), &fetched);
  const Owned<SPF_record_t> record(fetched);
  if (error == SPF_E_NOT_SPF) return finish(facts, run, response.get(), Result::kNone, error);
  if (error != SPF_E_SUCCESS || !record) {
    return finish(facts, run, response.get(), mapped(SPF_RESULT_INVALID, error, lookup), error);
  }
  response->spf_record_exp = record.get();
  error = SPF_record_interpret(record.get(), client.get(), response.get(), 0);
  return finish(
      facts, run, response.get(),
      mapped(SPF_response_result(response.get()), SPF_response_errcode(response.get()), lookup),
      error);
}

}  // namespace spf
