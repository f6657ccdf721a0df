// One message on its way in, as one straight line: envelope, header, body, judgement (inbound) or
// signature (outbound), commit, reply. It takes content as it comes, remembers the first thing that
// is wrong with it, and after the end of data answers exactly once. Memory is bounded by
// limits.header_size and limits.body_memory, whatever the message's size. Loop's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/mail/envelope.h"
#include "core/mail/headers.h"
#include "core/smtp/reply.h"
#include "dkim/signer.h"
#include "policy/header_guard.h"
#include "relayd/ingress/inquiry.h"
#include "relayd/ingress/settings.h"

namespace ingress {

// Who is talking to us and how. `credential_id` is empty where nobody logged in.
struct ClientFacts {
  std::string ip, helo, protocol, tls;
  std::string credential_id, username;
  bool sends_outward = false;  // a tenant's credential: the back end's mail
};

class Transaction : public std::enable_shared_from_this<Transaction> {
 public:
  Transaction(const Workplace& workplace, std::shared_ptr<const Settings> settings,
              ClientFacts client, mail::Envelope envelope);
  ~Transaction();

  // Each gives the reply to say at once: check_sender for MAIL, add_recipient for RCPT.
  smtp::Reply check_sender();
  smtp::Reply add_recipient(const mail::Recipient& recipient);

  // Message bytes in any pieces.
  void content(std::string_view bytes);
  // The end of data. `on_reply` comes once, later or from inside this call, after the message is on
  // disk or known not to be taken.
  void finish(std::function<void(smtp::Reply)> on_reply);

 private:
  void end_of_headers(std::size_t section_size);
  void begin_inbound();
  void begin_outbound();
  void append(std::string_view bytes);
  void body(std::string_view bytes);
  void refuse(int code, std::string_view enhanced, std::string text);
  void judged(const policy::Judgement& judgement);
  void sign();
  void commit(std::string prefix_above_received);
  void committed(queue::Failure failure);
  void reply(smtp::Reply reply);
  [[nodiscard]] std::string received() const;

  const Workplace& workplace_;
  const std::shared_ptr<const Settings> settings_;
  const ClientFacts client_;
  policy::AccountsSnapshot accounts_;  // of the question in hand: MAIL, RCPT, the author
  const base::Id id_;

  queue::NewMessage message_;
  std::string domain_;  // inbound: the one domain this transaction is for (see add_recipient)

  std::string header_bytes_;  // the whole section, kept for the checks; then immutable
  bool in_headers_ = true;
  int separator_left_ = 2;  // octets of the empty line between header and body still to pass
  std::uint64_t size_ = 0;
  std::size_t suppressed_ = 0;  // outbound: recipients that were taken out (loops.h)
  mail::Headers headers_;
  std::optional<smtp::Reply> refusal_;

  std::shared_ptr<Inquiry> inquiry_;                  // inbound
  std::vector<policy::DkimKey> keys_;                 // outbound: who signs
  std::unique_ptr<dkim::RelaxedBodyHash> body_hash_;  // outbound, with a key
  std::unique_ptr<policy::BodyDigest> body_digest_;   // outbound
  std::function<void(smtp::Reply)> on_reply_;
};

}  // namespace ingress
