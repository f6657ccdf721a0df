#include "smtp/fixed_owner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "core/base/bytes.h"

namespace smtp_test {

namespace {

smtp::Reply verdict_on_recipient(std::string_view address) {
  const std::string lower = base::ascii_lower(address);
  if (lower == "support@acme.example" || lower == "sales@acme.example")
    return {250, "2.1.5", "Recipient taken"};
  if (lower == "busy@acme.example") return {451, "4.2.1", "Busy"};
  return {550, "5.1.1", "No such address"};
}

smtp::AuthResult verdict_on_login(const smtp::Auth& auth) {
  if (auth.authcid == "temporary") return smtp::AuthResult::kTemporary;
  const bool authzid_good = auth.authzid.empty() || auth.authzid == auth.authcid;
  const bool good = authzid_good && auth.authcid == "acme.example" && auth.password == "secret";
  return good ? smtp::AuthResult::kAccepted : smtp::AuthResult::kRejected;
}

}  // namespace

std::string describe(const mail::Envelope& envelope) {
  std::string text = "from=<" + envelope.mail_from + ">";
  if (envelope.size_declared != 0) text += " SIZE=" + std::to_string(envelope.size_declared);
  if (envelope.body == mail::BodyType::k8BitMime) text += " BODY=8BITMIME";
  if (envelope.smtputf8) text += " SMTPUTF8";
  if (!envelope.ret.empty()) text += " RET=" + envelope.ret;
  if (!envelope.envid.empty()) text += " ENVID=" + envelope.envid;
  for (const mail::Recipient& recipient : envelope.recipients) {
    text += " to=<" + recipient.address + ">";
    if (!recipient.notify.empty()) text += " NOTIFY=" + recipient.notify;
    if (!recipient.orcpt.empty()) text += " ORCPT=" + recipient.orcpt;
  }
  return text;
}

FixedOwner::FixedOwner(smtp::ServerOptions options, const base::Limits& limits)
    : limits_(limits),
      machine_(std::make_unique<smtp::ServerMachine>(std::move(options), limits_)) {
  machine_->greet();
}

std::string FixedOwner::take_output() {
  output_ += machine_->take_output();
  return std::exchange(output_, {});
}

void FixedOwner::tls_started() {
  EXPECT_TRUE(tls_wanted_) << "TLS was not asked for";
  tls_wanted_ = false;
  machine_->tls_started();
}

void FixedOwner::feed(std::string_view bytes) {
  std::string buffer(bytes);
  std::span<char> left(buffer);
  while (!closed()) {
    const smtp::Step step = machine_->next(left);
    ASSERT_LE(step.used, left.size());
    // Before the bytes are let go: events look into them.
    handle(step.event);
    left = left.subspan(step.used);
    if (std::holds_alternative<smtp::NeedInput>(step.event)) {
      EXPECT_TRUE(left.empty()) << "NeedInput with bytes left";
      return;
    }
  }
}

void FixedOwner::handle(const smtp::Event& event) {
  std::visit(
      [this](const auto& e) {
        using E = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<E, smtp::NeedAnswer>) {
          ADD_FAILURE() << "NeedAnswer, but every question was answered";
          close_reason_ = "test failure";
        } else if constexpr (std::is_same_v<E, smtp::Flush>) {
          output_ += machine_->take_output();
        } else if constexpr (std::is_same_v<E, smtp::Hello>) {
          EXPECT_FALSE(in_transaction_) << "Hello without Reset";
          trail_.push_back("hello " + std::string(e.name) + (e.extended ? " extended" : ""));
        } else if constexpr (std::is_same_v<E, smtp::StartTls>) {
          EXPECT_FALSE(in_transaction_) << "StartTls without Reset";
          trail_.emplace_back("starttls");
          tls_wanted_ = true;
        } else if constexpr (std::is_same_v<E, smtp::Auth>) {
          trail_.push_back("auth " + std::string(e.authcid));
          machine_->answer_auth(verdict_on_login(e));
        } else if constexpr (std::is_same_v<E, smtp::Mail>) {
          EXPECT_FALSE(in_transaction_) << "Mail inside a transaction";
          envelope_ = *e.envelope;
          content_.clear();
          trail_.push_back("mail " + describe(envelope_));
          in_transaction_ = envelope_.mail_from != "blocked@client.example";
          machine_->answer(in_transaction_ ? smtp::Reply{250, "2.1.0", "Sender taken"}
                                           : smtp::Reply{550, "5.7.1", "Sender blocked"});
        } else if constexpr (std::is_same_v<E, smtp::Rcpt>) {
          EXPECT_TRUE(in_transaction_);
          trail_.push_back("rcpt " + e.recipient->address);
          const smtp::Reply reply = verdict_on_recipient(e.recipient->address);
          if (reply.positive()) envelope_.recipients.push_back(*e.recipient);
          machine_->answer(reply);
        } else if constexpr (std::is_same_v<E, smtp::DataStart>) {
          EXPECT_TRUE(in_transaction_);
          EXPECT_FALSE(envelope_.recipients.empty());
          trail_.emplace_back("data");
          in_content_ = envelope_.mail_from != "nodata@client.example";
          machine_->answer(in_content_ ? smtp::Reply{250, "2.0.0", "Go on"}
                                       : smtp::Reply{451, "4.3.0", "Not now"});
        } else if constexpr (std::is_same_v<E, smtp::Content>) {
          EXPECT_TRUE(in_content_);
          EXPECT_FALSE(e.bytes.empty());
          content_.append(e.bytes.data(), e.bytes.size());
        } else if constexpr (std::is_same_v<E, smtp::ContentEnd>) {
          EXPECT_TRUE(in_content_);
          in_transaction_ = in_content_ = false;
          if (envelope_.mail_from == "full@client.example") {
            trail_.emplace_back("refused");
            machine_->answer({452, "4.3.1", "Disk full"});
          } else {
            trail_.emplace_back("delivered");
            delivered_.push_back({describe(envelope_), content_});
            machine_->answer({250, "2.0.0", "Queued"});
          }
          envelope_ = {};
        } else if constexpr (std::is_same_v<E, smtp::Reset>) {
          EXPECT_TRUE(in_transaction_) << "Reset outside a transaction";
          in_transaction_ = in_content_ = false;
          envelope_ = {};
          trail_.emplace_back("reset");
        } else if constexpr (std::is_same_v<E, smtp::Close>) {
          close_reason_ = std::string(e.reason);
          trail_.push_back("close " + *close_reason_);
        }
      },
      event);
}

}  // namespace smtp_test
