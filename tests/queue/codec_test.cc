#include "queue/codec.h"

#include <gtest/gtest.h>

#include <random>

#include "core/base/bytes.h"
#include "queue/support.h"

namespace queue {
namespace {

Message full_message() {
  base::SystemClock clock;
  base::IdGenerator ids(clock);
  Message message = message_of(ids.next());
  message.helo = "mail.acme.example";
  message.remote_ip = "2001:db8::1";
  message.judgement = R"({"spf":{"result":"pass"}})";
  message.guard = std::string("\0\x01\xff", 3);
  message.related_id = "related";
  message.details = "{}";
  message.arrival_ms = -5;
  message.expiry_ms = INT64_MAX;
  message.envelope.body = mail::BodyType::k8BitMime;
  message.envelope.smtputf8 = true;
  message.envelope.size_declared = UINT64_MAX;
  message.envelope.ret = "HDRS";
  message.envelope.envid = "x+2By";
  message.body = {7, 64, 10, 74, 1'000'000, 0xdeadbeef};
  return message;
}

TEST(Codec, MessageComesBack) {
  const Message in = full_message();
  const std::string record = encode_message(in);
  const auto out = decode_message(in.id, record);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->id, in.id);
  EXPECT_EQ(out->kind, in.kind);
  EXPECT_EQ(out->tenant, in.tenant);
  EXPECT_EQ(out->domain, in.domain);
  EXPECT_EQ(out->support_address, in.support_address);
  EXPECT_EQ(out->helo, in.helo);
  EXPECT_EQ(out->remote_ip, in.remote_ip);
  EXPECT_EQ(out->trust, in.trust);
  EXPECT_EQ(out->judgement, in.judgement);
  EXPECT_EQ(out->guard, in.guard);
  EXPECT_EQ(out->related_id, in.related_id);
  EXPECT_EQ(out->details, in.details);
  EXPECT_EQ(out->arrival_ms, in.arrival_ms);
  EXPECT_EQ(out->expiry_ms, in.expiry_ms);
  EXPECT_EQ(out->envelope.mail_from, in.envelope.mail_from);
  EXPECT_EQ(out->envelope.body, in.envelope.body);
  EXPECT_EQ(out->envelope.smtputf8, in.envelope.smtputf8);
  EXPECT_EQ(out->envelope.size_declared, in.envelope.size_declared);
  EXPECT_EQ(out->envelope.ret, in.envelope.ret);
  EXPECT_EQ(out->envelope.envid, in.envelope.envid);
  ASSERT_EQ(out->envelope.recipients.size(), 2U);
  EXPECT_EQ(out->envelope.recipients[0].notify, "NEVER");
  EXPECT_EQ(out->envelope.recipients[1].address, "b@customer.example");
  EXPECT_EQ(out->envelope.recipients[1].orcpt, "rfc822;b@customer.example");
  EXPECT_EQ(out->body.content_offset, 74U);
  EXPECT_EQ(out->body.checksum, 0xdeadbeefU);
  EXPECT_EQ(decode_body(record)->content_size, 1'000'000U);
  EXPECT_EQ(encode_message(*out), record);
}

TEST(Codec, EventsComeBack) {
  Message in = full_message();
  in.kind = Kind::kEvent;
  in.event = "connector.locked";
  in.details = R"({"smarthost":"acme.example"})";
  const auto out = decode_message(in.id, encode_message(in));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->kind, Kind::kEvent);
  EXPECT_EQ(out->event, "connector.locked");
  EXPECT_EQ(out->details, in.details);
}

// A message as the first release wrote it: version 1, without `event`.
TEST(Codec, RecordsOfVersionOneAreRead) {
  const std::string record = *base::hex_decode(
      "01"  // version
      "0700000000000000"
      "4000000000000000"
      "0300000000000000"  // segment, prefix
      "4300000000000000"
      "0500000000000000"
      "efbeadde"  // content, checksum
      "03"        // kind: bounce
      "0461636d65"
      "0161"
      "00"
      "00"
      "00"
      "00"
      "00"
      "00"
      "0172"
      "027b7d"  // ten texts
      "02"
      "04"
      "00"
      "00"
      "00"
      "00"
      "00"
      "00"
      "01"
      "0162"
      "00"
      "00");  // times, envelope
  const auto message = decode_message(base::Id{}, record);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->kind, Kind::kBounce);
  EXPECT_EQ(message->tenant, "acme");
  EXPECT_EQ(message->related_id, "r");
  EXPECT_EQ(message->event, "");
  EXPECT_EQ(message->details, "{}");
  EXPECT_EQ(message->arrival_ms, 1);
  EXPECT_EQ(message->expiry_ms, 2);
  ASSERT_EQ(message->envelope.recipients.size(), 1U);
  EXPECT_EQ(message->envelope.recipients[0].address, "b");
  EXPECT_EQ(decode_body(record)->content_size, 5U);
}

TEST(Codec, SaysWhyARecordIsNotRead) {
  EXPECT_EQ(why_unreadable(""), "its record is damaged");
  EXPECT_EQ(why_unreadable("\x01short"), "its record is damaged");
  const std::string newer = why_unreadable("\x09 from the future");
  EXPECT_NE(newer.find("version 9"), std::string::npos) << newer;
  EXPECT_NE(newer.find("newer relayd"), std::string::npos) << newer;
}

TEST(Codec, DeliveryAndRecipientComeBack) {
  Delivery in = delivery_to("backend:acme", -1, {0, 5, UINT32_MAX});
  in.state = State::kHeld;
  in.attempts = 300;
  in.last_reply = "552 5.2.2 full";
  const auto out = decode_delivery(in.id, 4, encode_delivery(in));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->index, 4U);
  EXPECT_EQ(out->state, State::kHeld);
  EXPECT_EQ(out->attempts, 300U);
  EXPECT_EQ(out->next_attempt_ms, -1);
  EXPECT_EQ(out->destination, "backend:acme");
  EXPECT_EQ(out->last_reply, "552 5.2.2 full");
  ASSERT_EQ(out->recipients.size(), 3U);
  EXPECT_EQ(out->recipients[2].index, UINT32_MAX);

  const auto status =
      decode_recipient(9, encode_recipient({9, RecipientState::kFailed, "550 5.1.1 no"}));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->index, 9U);
  EXPECT_EQ(status->state, RecipientState::kFailed);
  EXPECT_EQ(status->last_reply, "550 5.1.1 no");
}

TEST(Codec, EveryCutAndEveryAdditionIsRefused) {
  const Message message = full_message();
  Delivery delivery = delivery_to("backend:acme", 5, {0, 1});
  const std::string records[] = {encode_message(message), encode_delivery(delivery),
                                 encode_recipient({}), encode_segment({3, 4})};
  const auto decodes = [&](std::size_t which, std::string_view bytes) {
    switch (which) {
      case 0:
        EXPECT_EQ(decode_message(message.id, bytes).has_value(),
                  glance_at_message(bytes).has_value());
        return decode_message(message.id, bytes).has_value();
      case 1:
        EXPECT_EQ(decode_delivery(message.id, 0, bytes).has_value(),
                  glance_at_delivery(bytes).has_value());
        return decode_delivery(message.id, 0, bytes).has_value();
      case 2:
        return decode_recipient(0, bytes).has_value();
      default:
        return decode_segment(bytes).has_value();
    }
  };
  for (std::size_t which = 0; which < 4; ++which) {
    const std::string& record = records[which];
    EXPECT_TRUE(decodes(which, record));
    for (std::size_t n = 0; n < record.size(); ++n) {
      EXPECT_FALSE(decodes(which, std::string_view(record).substr(0, n))) << which << " " << n;
    }
    EXPECT_FALSE(decodes(which, record + '\0'));
    std::string newer = record;
    newer[0] = 3;
    EXPECT_FALSE(decodes(which, newer));
  }
}

// Nothing to expect of the value: the sanitizers watch that damage is only ever refused or read.
TEST(Codec, RandomDamageIsHarmless) {
  std::mt19937 random(20260131);
  const base::Id id;
  const std::string records[] = {encode_message(full_message()),
                                 encode_delivery(delivery_to("backend:acme", 5, {0, 1})),
                                 encode_recipient({1, RecipientState::kFailed, "550"})};
  int refused = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string bytes = records[round % 3];
    for (std::uint32_t n = random() % 4; n-- > 0 || bytes.empty();) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (random() % 3 == 0) bytes.resize(random() % (bytes.size() + 8));
    const auto message = decode_message(id, bytes);
    const auto delivery = decode_delivery(id, 0, bytes);
    const auto status = decode_recipient(0, bytes);
    (void)decode_body(bytes);
    (void)decode_segment(bytes);
    const auto glance = glance_at_message(bytes);
    ASSERT_EQ(glance.has_value(), message.has_value());
    ASSERT_EQ(glance_at_delivery(bytes).has_value(), delivery.has_value());
    if (message) {
      EXPECT_EQ(glance->tenant, message->tenant);
      EXPECT_EQ(glance->domain, message->domain);
      EXPECT_EQ(glance->mail_from, message->envelope.mail_from);
      EXPECT_EQ(glance->arrival_ms, message->arrival_ms);
      EXPECT_EQ(glance->body.content_size, message->body.content_size);
      for (const mail::Recipient& recipient : message->envelope.recipients) {
        EXPECT_TRUE(has_recipient(*glance, recipient.address));
      }
      EXPECT_FALSE(has_recipient(*glance, "nobody@there.example"));
      EXPECT_LE(message->envelope.recipients.size(), bytes.size());
      EXPECT_LE(message->body.prefix_offset + message->body.prefix_size, std::uint64_t{1} << 61);
    }
    if (!message && !delivery && !status) ++refused;
  }
  EXPECT_GT(refused, 10'000);
}

TEST(Codec, KeysSortAsTheyShould) {
  base::ManualClock clock;
  base::IdGenerator ids(clock);
  const base::Id a = ids.next();
  const base::Id b = ids.next();
  EXPECT_LT(delivery_key(a, 255).view(), delivery_key(a, 256).view());
  EXPECT_LT(delivery_key(a, 7).view(), delivery_key(b, 0).view());
  EXPECT_LT(due_key("x", 255, b, 0).view(), due_key("x", 256, a, 0).view());
  EXPECT_LT(due_key("x", 256, b, 0).view(), due_key("y", 255, a, 0).view());
  EXPECT_LT(due_key("x", 256, b, 0).view(), due_key("x\x01", 255, a, 0).view());
  EXPECT_EQ(due_key("x", -3, a, 1).view(), due_key("x", 0, a, 1).view());
  EXPECT_EQ(due_prefix(due_key("xy", 0, a, 1)), destination_prefix("xy"));
  const auto due = parse_due_key(due_key("x", 1'700'000'000'001, b, 3));
  ASSERT_TRUE(due);
  EXPECT_EQ(due->due_ms, 1'700'000'000'001);
  EXPECT_EQ(due->id, b);
  EXPECT_EQ(due->index, 3U);
  EXPECT_FALSE(parse_due_key("short"));
  EXPECT_FALSE(parse_due_key(std::string(28, 'x')));  // as schema 1 had it
  EXPECT_FALSE(parse_due_key(std::string(29, 'x')));
  EXPECT_FALSE(parse_delivery_key("short"));
  EXPECT_EQ(parse_segment_key(segment_key(1ULL << 40)), 1ULL << 40);
  // LMDB's bound, whatever the destination is called.
  EXPECT_EQ(destination_key(std::string(5000, 'x'), a, 0).view().size(), 421U);  // LMDB: 511
  EXPECT_EQ(due_key(std::string(5000, 'x'), 0, a, 0).view().size(), 429U);
  EXPECT_EQ(destination_prefix(std::string_view("a\0b", 3)).view(), std::string("a\0", 2));
}

}  // namespace
}  // namespace queue
