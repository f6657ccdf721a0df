// Logging in, asking who may do what, writing down how a mail was judged, guarding a header.
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "certs/sealer.h"
#include "operation.h"
#include "policy/account_store.h"
#include "policy/header_guard.h"
#include "policy/judgement.h"
#include "policy/login.h"
#include "policy/permission.h"

namespace bench {
namespace {

// Accounts of `tenants` tenants with a domain each, in a directory that goes with them.
class Accounts {
 public:
  explicit Accounts(int tenants)
      : directory_(std::filesystem::temp_directory_path() / "relayd-bench-XXXXXX") {
    require(mkdtemp(directory_.data()) != nullptr, "a temporary directory");
    std::filesystem::create_directory(directory_ + "/secrets");
    sealer_ = std::make_unique<certs::Sealer>(certs::Sealer::open(directory_ + "/secrets").take());
    limits_.login_backoff_after = INT64_MAX;
    limits_.accounts_map_size = base::kGiB;  // valgrind has no room for more
    policy::AccountStoreOptions options;
    options.directory = directory_ + "/accounts";
    options.sealer = sealer_.get();
    options.limits = &limits_;
    options.clock = &clock_;
    options.digest_key = "key";
    options.hostname = "relay.example.net";
    store = policy::AccountStore::open(options).take();
    for (auto& domain : store->apply(plan(tenants)).take().domains) {
      credentials.push_back(*domain.credential);
    }
    logins = policy::LoginService::open(*store, clock_, limits_).take();
  }
  ~Accounts() {
    logins.reset();
    store.reset();
    std::filesystem::remove_all(directory_);
  }
  Accounts(const Accounts&) = delete;
  Accounts& operator=(const Accounts&) = delete;

 private:
  static policy::Plan plan(int tenants) {
    policy::Plan plan;
    for (int i = 0; i < tenants; ++i) {
      const std::string name = "acme" + std::to_string(i);
      policy::DomainPlan domain;
      domain.name = name + ".example";
      domain.smarthost.emplace().host = "mail." + domain.name;
      domain.addresses = {{"support@" + domain.name, std::nullopt}};
      policy::TenantPlan& tenant = plan.tenants.emplace_back();
      tenant.name = name;
      tenant.backend_url = "http://127.0.0.1:9000/tickets";
      tenant.domains = {domain};
    }
    return plan;
  }

  std::string directory_;
  base::Limits limits_;
  base::ManualClock clock_;
  std::unique_ptr<certs::Sealer> sealer_;

 public:
  std::unique_ptr<policy::AccountStore> store;
  std::unique_ptr<policy::LoginService> logins;
  std::vector<policy::NewCredential> credentials;
};

constexpr int kTenants = 100;

// One for all: Cyrus SASL is set up once a process.
std::shared_ptr<Accounts> accounts() {
  static const auto all = std::make_shared<Accounts>(kTenants);
  return all;
}

// All credentials in turn, since how long the search for one takes hangs on its random name.
Run login(bool right, bool new_address) {
  return [=, accounts = accounts(), number = 0]() mutable {
    const policy::NewCredential& credential = accounts->credentials[++number % kTenants];
    const std::string secret = credential.password + (right ? "" : "x");
    const std::string ip = "2001:db8::" + std::to_string(new_address ? 1000 + number : 1000);
    const policy::Login login =
        accounts->logins->login_plain('\0' + credential.username + '\0' + secret, ip);
    const auto expected = right ? policy::LoginResult::kAccepted : policy::LoginResult::kRejected;
    require(login.result == expected, "the login's result");
  };
}

// What MAIL and RCPT of an inbound message ask.
Run permission() {
  return [accounts = accounts(), number = 0]() mutable {
    const auto snapshot = accounts->store->snapshot();
    const policy::Credential* credential =
        snapshot->credential_by_id(accounts->credentials[++number % kTenants].id);
    const policy::Peer peer{credential};
    require(!policy::check_sender(*snapshot, peer, "anna@customer.example"), "the sender may");
    require(!policy::check_recipient(*snapshot, peer, "support@" + credential->domain),
            "the recipient is theirs");
  };
}

policy::Judgement judgement() {
  policy::Judgement judgement;
  judgement.spf.emplace();
  judgement.spf->result = spf::Result::kPass;
  judgement.spf->domain = "customer.example";
  judgement.spf->reason = "matched ip4:192.0.2.0/24";
  judgement.mail_from = "anna@customer.example";
  judgement.helo_name = "mail.customer.example";
  for (const char* algorithm : {"rsa-sha256", "ed25519-sha256"}) {
    dkim::SignatureVerdict& verdict = judgement.dkim.emplace_back();
    verdict.domain = "customer.example";
    verdict.selector = "s1";
    verdict.identity = "@customer.example";
    verdict.algorithm = algorithm;
    verdict.signature_start = "AbCdEfGh";
    verdict.result = dkim::Result::kPass;
  }
  judgement.dmarc.result = policy::DmarcResult::kPass;
  judgement.dmarc.from_domain = "customer.example";
  judgement.dmarc.policy = "reject";
  judgement.dmarc.policy_domain = "customer.example";
  judgement.dmarc.aligned_signers = {"customer.example"};
  judgement.dmarc.reason = "a signature of customer.example aligns";
  return judgement;
}

Run judgement_json() {
  return [judgement = judgement()] {
    require(policy::authentication_json(judgement).starts_with('{'), "JSON");
  };
}

Run judgement_field() {
  return [judgement = judgement()] {
    require(policy::authentication_results(judgement, "relay.example.net").ends_with("\r\n"),
            "a field");
  };
}

constexpr const char* kHeader =
    "From: support@acme.example\r\nTo: anna@customer.example\r\nSubject: Re: order\r\n"
    "Date: Sat, 31 Jan 2026 12:00:00 +0000\r\nMessage-ID: <1@acme.example>\r\n"
    "In-Reply-To: <2@customer.example>\r\nX-Mailer: desk\r\nContent-Type: text/plain\r\n";

Run guard_header() {
  return [headers = mail::Headers::scan(kHeader, 100).take(),
          fields = policy::protected_fields({"X-Desk-From-Account-Id"})] {
    const std::string guard = policy::make_guard(headers, fields, std::string(32, 'd'));
    require(policy::check_headers(guard, headers).ok(), "nothing was changed");
  };
}

Run guard_body() {
  return [body = lines(64 << 10)] {
    policy::BodyDigest digest;
    digest.update(body);
    require(digest.finish().size() == 16, "a digest");
  };
}

}  // namespace

Operations policy_operations() {
  return {{"policy/login/accepted", [] { return login(true, false); }, 0, 1, kTenants},
          {"policy/login/accepted/new_address", [] { return login(true, true); }, 0, 1, kTenants},
          {"policy/login/rejected", [] { return login(false, false); }, 0, 1, kTenants},
          {"policy/permission/inbound", permission, 0, 1, kTenants},
          {"policy/judgement/json", judgement_json},
          {"policy/judgement/field", judgement_field},
          {"policy/guard/header", guard_header},
          {"policy/guard/body/64KiB", guard_body, 64 << 10}};
}

}  // namespace bench
