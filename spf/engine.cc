#include "spf/engine.h"

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
#include "spf/record_grammar.h"

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

// The text that stands for explanation number N inside the library until we know whether the mail
// fails at all.
constexpr std::string_view kExplanationMark = "explanation:";
constexpr std::size_t kExplanationsMax = 64;
constexpr std::size_t kExplanationOctetsMax = 512;

struct Explanation {
  std::string text;
  std::vector<dns::Question> missing;
};

// The library works on aliases; this is what they stand for.
class Names {
 public:
  struct Entry {
    std::string name;
    std::string record_domain;  // whose record names it
  };
  std::string alias_for(std::string name, std::string record_domain) {
    names_.push_back({std::move(name), std::move(record_domain)});
    return "n" + std::to_string(names_.size() - 1) + std::string(kSuffix);
  }
  // nullptr: no alias but a name from an answer.
  [[nodiscard]] const Entry* find(std::string_view alias) const {
    if (alias.size() <= kSuffix.size() + 1 || alias.front() != 'n') return nullptr;
    if (alias.substr(alias.size() - kSuffix.size()) != kSuffix) return nullptr;
    const auto index = base::parse_unsigned(alias.substr(1, alias.size() - kSuffix.size() - 1));
    return index && *index < names_.size() ? &names_[*index] : nullptr;
  }

 private:
  static constexpr std::string_view kSuffix = ".alias.spf";
  std::vector<Entry> names_;
};

struct Run {
  Lookup& lookup;
  MacroFacts facts;  // `domain` changes with the record
  Names names;
  bool validated_known = false;
  std::string problem;  // what was wrong with a record
  std::vector<Explanation> explanations;
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

SPF_dns_rr_t* lookup_hook(SPF_dns_server_t* dns, const char* domain, ns_type type, int) {
  Run& run = *static_cast<Run*>(dns->hook);
  const auto wanted = our_type(type);
  if (!wanted) return SPF_dns_rr_new_init(dns, domain, type, 0, HOST_NOT_FOUND);
  const Names::Entry* entry = run.names.find(domain);
  const bool host = entry == nullptr && *wanted != dns::Type::kPtr;
  const Lookup::Found found = host ? run.lookup.host_address(domain, *wanted)
                                   : run.lookup.mechanism(entry ? entry->name : domain, *wanted);
  switch (found.state) {
    case Lookup::State::kVoid:
      return SPF_dns_rr_new_init(dns, domain, type, 0, HOST_NOT_FOUND);
    case Lookup::State::kTemporary:
    case Lookup::State::kStop:
      return SPF_dns_rr_new_init(dns, domain, type, 0, TRY_AGAIN);
    case Lookup::State::kFound:
      break;
  }
  SPF_dns_rr_t* rr = SPF_dns_rr_new_init(dns, domain, library_type(*wanted), 0, NETDB_SUCCESS);
  if (rr == nullptr) return nullptr;
  for (const std::string& record : found.records) {
    if (put_record(rr, rr->num_rr, *wanted, record)) ++rr->num_rr;
  }
  return rr;
}

// %{p}: the first name behind the client's PTR records that leads back to it, best the domain
// itself or one below it (RFC 7208 7.3). Stays "unknown" on any trouble.
void find_validated(Run& run) {
  if (run.validated_known) return;
  run.validated_known = true;
  const std::string domain = run.facts.sender_domain;
  const auto type = run.facts.v6 ? dns::Type::kAaaa : dns::Type::kA;
  const auto hosts =
      run.lookup.mechanism(reverse_name(run.facts.ip, run.facts.v6), dns::Type::kPtr).records;
  std::string other;
  for (const std::string& host : hosts) {
    const auto found = run.lookup.host_address(host, type);
    if (found.state == Lookup::State::kStop) return;
    const auto& addresses = found.records;
    if (std::find(addresses.begin(), addresses.end(), run.facts.ip) == addresses.end()) continue;
    if (host == domain || base::ascii_lower(host).ends_with("." + domain)) {
      run.facts.validated = host;
      return;
    }
    if (other.empty()) other = host;
  }
  if (!other.empty()) run.facts.validated = other;
}

// The record of a domain in the form the library is given, or an error code with run.problem set.
SPF_errcode_t prepare_record(Run& run, std::string_view domain, std::string& record) {
  const Lookup::Found found = run.lookup.record_txt(domain);
  if (found.state == Lookup::State::kTemporary || found.state == Lookup::State::kStop) {
    return SPF_E_DNS_ERROR;
  }
  const std::string shown = base::printable(domain);
  std::vector<std::string_view> candidates;
  for (const std::string& txt : found.records) {
    if (is_spf_record(txt)) candidates.emplace_back(txt);
  }
  if (candidates.empty()) {
    run.problem = shown + " has no SPF record";
    return SPF_E_NOT_SPF;
  }
  if (candidates.size() > 1) {
    run.problem = shown + " has several SPF records (RFC 7208 4.5)";
    return SPF_E_MULTIPLE_RECORDS;
  }
  run.facts.domain = std::string(domain);
  if (uses_validated_name(candidates.front())) find_validated(run);
  const auto name_for = [&run](std::string_view spec, NameUse use) {
    std::string name = spec.empty() ? run.facts.domain : expand_macros(spec, run.facts);
    // `ptr` compares this name with names from answers, so it must be the real one.
    if (use == NameUse::kPtr) {
      if (const auto plain = checkable_domain(name)) return *plain;
    }
    return run.names.alias_for(std::move(name), run.facts.domain);
  };
  auto checked = checked_record(candidates.front(), name_for);
  if (!checked.ok()) {
    run.problem = shown + ": " + checked.message();
    return SPF_E_SYNTAX;
  }
  record = checked.take();
  return SPF_E_SUCCESS;
}

// Fetches and compiles the record of the request's current domain (RFC 7208 4.4 to 4.6).
SPF_errcode_t get_record_hook(SPF_server_t* server, SPF_request_t* request,
                              SPF_response_t* response, SPF_record_t** compiled) {
  Run& run = run_of(server);
  *compiled = nullptr;
  const Names::Entry* entry = run.names.find(request->cur_dom);
  if (entry == nullptr) return SPF_E_INTERNAL_ERROR;
  const std::string domain = entry->name;  // the table grows
  std::string record;
  SPF_errcode_t error = prepare_record(run, domain, record);
  if (error != SPF_E_SUCCESS) return error;
  error = SPF_record_compile(server, response, compiled, record.c_str());
  if (error == SPF_E_SUCCESS) return error;
  run.problem = base::printable(domain) + ": the SPF record cannot be read: " + SPF_strerror(error);
  return SPF_E_SYNTAX;
}

Explanation explain(Run& run, const Names::Entry& entry) {
  Explanation explanation;
  run.facts.domain = entry.record_domain;
  run.lookup.set_explaining(true);
  const Lookup::Found found = run.lookup.explanation_txt(entry.name);
  // RFC 7208 6.2: no explanation where there are several records or any kind of error.
  if (found.state == Lookup::State::kFound && found.records.size() == 1 &&
      check_explanation(found.records.front()).ok()) {
    if (uses_validated_name(found.records.front())) find_validated(run);
    explanation.text =
        base::printable(expand_macros(found.records.front(), run.facts), kExplanationOctetsMax);
  }
  explanation.missing = run.lookup.take_missing_for_explanation();
  if (!explanation.missing.empty()) run.validated_known = false;
  run.lookup.set_explaining(false);
  return explanation;
}

// The library asks for an explanation at every mechanism that does not pass, also inside includes;
// the mark tells afterwards which one belongs to the verdict.
SPF_errcode_t get_explanation_hook(SPF_server_t* server, const char* domain, char** buffer,
                                   size_t* size) {
  Run& run = run_of(server);
  const Names::Entry* entry = run.names.find(domain);  // `domain` lies in *buffer
  std::string mark;
  if (entry != nullptr && run.explanations.size() < kExplanationsMax) {
    mark = std::string(kExplanationMark) + std::to_string(run.explanations.size());
    run.explanations.push_back(explain(run, *entry));
  }
  if (*size < mark.size() + 1) {
    auto* larger = static_cast<char*>(std::realloc(*buffer, mark.size() + 1));
    if (larger == nullptr) return SPF_E_NO_MEMORY;
    *buffer = larger;
    *size = mark.size() + 1;
  }
  std::memcpy(*buffer, mark.c_str(), mark.size() + 1);
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
  if (error == SPF_E_DNS_ERROR && lookup.temporary_seen()) return Result::kTempError;
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
  const auto error = facts.v6 ? SPF_request_set_ipv6_str(request, facts.ip.c_str())
                              : SPF_request_set_ipv4_str(request, facts.ip.c_str());
  if (error != SPF_E_SUCCESS) return false;
  return SPF_request_set_helo_dom(request, "helo.spf") == SPF_E_SUCCESS &&
         SPF_request_set_env_from(request, "sender@domain.spf") == SPF_E_SUCCESS;
}

EngineOutcome finish(const MacroFacts& request, const Run& run, SPF_response_t* response,
                     Result result, SPF_errcode_t error) {
  EngineOutcome outcome;
  if (!run.lookup.exceeded().empty()) result = Result::kPermError;
  outcome.verdict.result = result;
  outcome.verdict.domain = request.domain;
  outcome.verdict.reason = reason_of(request, result, error, run);
  if (result != Result::kFail || response->explanation == nullptr) return outcome;
  const std::string_view mark(response->explanation);
  if (mark.substr(0, kExplanationMark.size()) != kExplanationMark) return outcome;
  const auto index = base::parse_unsigned(mark.substr(kExplanationMark.size()));
  if (!index || *index >= run.explanations.size()) return outcome;
  outcome.verdict.explanation = run.explanations[*index].text;
  outcome.missing_explanation = run.explanations[*index].missing;
  return outcome;
}

}  // namespace

EngineOutcome run_engine(const MacroFacts& request, Lookup& lookup) {
  install_handlers();
  Run run{lookup, request, {}, false, {}, {}};
  run.facts.validated = "unknown";
  SPF_dns_server_t layer{};  // no destructor: the library leaves it alone
  layer.lookup = lookup_hook;
  layer.get_spf = get_record_hook;
  layer.get_exp = get_explanation_hook;
  layer.name = "answers";
  layer.hook = &run;

  const Owned<SPF_server_t> server(SPF_server_new_dns(&layer, 0));
  const Owned<SPF_request_t> client(server ? SPF_request_new(server.get()) : nullptr);
  const Owned<SPF_response_t> response(client ? SPF_response_new(client.get()) : nullptr);
  EngineOutcome failed;
  failed.verdict = {Result::kTempError, request.domain, {}, "out of memory"};
  if (!response) return failed;
  if (SPF_server_set_rec_dom(server.get(), "receiver.spf") != SPF_E_SUCCESS ||
      !set_client(client.get(), request)) {
    return failed;
  }

  // SPF_request_query_mailfrom would pass every loopback address unseen; these are its other steps.
  const std::string start = run.names.alias_for(request.domain, request.domain);
  client->cur_dom = start.c_str();
  SPF_record_t* fetched = nullptr;
  SPF_errcode_t error = get_record_hook(server.get(), client.get(), response.get(), &fetched);
  const Owned<SPF_record_t> record(fetched);
  if (error == SPF_E_NOT_SPF) return finish(request, run, response.get(), Result::kNone, error);
  if (error != SPF_E_SUCCESS || !record) {
    return finish(request, run, response.get(), mapped(SPF_RESULT_INVALID, error, lookup), error);
  }
  response->spf_record_exp = record.get();
  error = SPF_record_interpret(record.get(), client.get(), response.get(), 0);
  return finish(
      request, run, response.get(),
      mapped(SPF_response_result(response.get()), SPF_response_errcode(response.get()), lookup),
      error);
}

}  // namespace spf
