#include "core/smtp/command_parser.h"

#include <gtest/gtest.h>

namespace smtp {
namespace {

constexpr std::uint64_t kSizeMax = 1000;

// "" where the command is taken, otherwise "code enhanced".
template <typename T>
std::string refusal(const Parsed<T>& parsed) {
  const auto* reply = std::get_if<Reply>(&parsed);
  return reply == nullptr ? "" : std::to_string(reply->code) + " " + reply->enhanced;
}
std::string mail_refusal(std::string_view argument) {
  return refusal(parse_mail(argument, kSizeMax));
}
std::string rcpt_refusal(std::string_view argument, bool smtputf8 = false) {
  return refusal(parse_rcpt(argument, smtputf8));
}

TEST(ParseCommand, SplitsVerbAndArgument) {
  EXPECT_EQ(parse_command("noop").verb, "NOOP");
  EXPECT_EQ(parse_command("noop").argument, "");
  const Command command = parse_command("Mail \t FROM:<a@b.example>  \t");
  EXPECT_EQ(command.verb, "MAIL");
  EXPECT_EQ(command.argument, "FROM:<a@b.example>");
  EXPECT_EQ(parse_command("").verb, "");
  EXPECT_EQ(parse_command(" NOOP").verb, "");
  EXPECT_EQ(parse_command("   ").verb, "");
}

TEST(ParseMail, TakesEverything) {
  const auto parsed = parse_mail(
      "from:<a@b.example> SIZE=1000 body=8bitmime SMTPUTF8 RET=full ENVID=x+20y AUTH=<>", kSizeMax);
  const auto& envelope = std::get<mail::Envelope>(parsed);
  EXPECT_EQ(envelope.mail_from, "a@b.example");
  EXPECT_EQ(envelope.size_declared, 1000U);
  EXPECT_EQ(envelope.body, mail::BodyType::k8BitMime);
  EXPECT_TRUE(envelope.smtputf8);
  EXPECT_EQ(envelope.ret, "FULL");
  EXPECT_EQ(envelope.envid, "x+20y");
  EXPECT_TRUE(envelope.recipients.empty());
}

TEST(ParseMail, NullSender) {
  EXPECT_EQ(std::get<mail::Envelope>(parse_mail("FROM:<>", kSizeMax)).mail_from, "");
}

TEST(ParseMail, SizeLimit) {
  EXPECT_EQ(mail_refusal("FROM:<> SIZE=1000"), "");
  EXPECT_EQ(mail_refusal("FROM:<> SIZE=1001"), "552 5.3.4");
  EXPECT_EQ(mail_refusal("FROM:<> SIZE=18446744073709551616"), "552 5.3.4");
  EXPECT_EQ(mail_refusal("FROM:<> SIZE=+1"), "501 5.5.4");
  EXPECT_EQ(mail_refusal("FROM:<> SIZE=1.0"), "501 5.5.4");
}

TEST(ParseMail, Refusals) {
  EXPECT_EQ(mail_refusal(""), "501 5.5.4");
  EXPECT_EQ(mail_refusal("FROM"), "501 5.5.4");
  EXPECT_EQ(mail_refusal("FROM:"), "501 5.1.7");
  EXPECT_EQ(mail_refusal("FROM:<a b>"), "501 5.1.7");
  EXPECT_EQ(mail_refusal("FROM:<> BODY"), "501 5.5.4");
  EXPECT_EQ(mail_refusal("FROM:<> BODY=BINARYMIME"), "504 5.5.4");
  EXPECT_EQ(mail_refusal("FROM:<> X=1"), "555 5.5.4");
  EXPECT_EQ(mail_refusal("FROM:<> AUTH="), "501 5.5.4");
  EXPECT_EQ(mail_refusal("FROM:<> AUTH"), "501 5.5.4");
  EXPECT_EQ(mail_refusal("FROM:<> ENVID"), "501 5.5.4");
  EXPECT_EQ(mail_refusal("FROM:<> RET"), "501 5.5.4");
  EXPECT_EQ(mail_refusal("FROM:<\xc3\xbc@b.example>"), "553 5.6.7");
  EXPECT_EQ(mail_refusal("FROM:<\xc3\xbc@b.example> SMTPUTF8"), "");
}

TEST(ParseRcpt, Postmaster) {
  EXPECT_EQ(std::get<mail::Recipient>(parse_rcpt("TO:<postmaster>", false)).address, "postmaster");
  EXPECT_EQ(rcpt_refusal("TO:<hostmaster>"), "501 5.1.3");
  EXPECT_EQ(rcpt_refusal("TO:<>"), "501 5.1.3");
}

TEST(ParseRcpt, Notify) {
  const auto notify = [](std::string_view value) {
    const auto parsed = parse_rcpt("TO:<a@b.example> NOTIFY=" + std::string(value), false);
    const auto* recipient = std::get_if<mail::Recipient>(&parsed);
    return recipient == nullptr ? "refused" : recipient->notify;
  };
  EXPECT_EQ(notify("never"), "NEVER");
  EXPECT_EQ(notify("delay,Success"), "DELAY,SUCCESS");
  EXPECT_EQ(notify("SUCCESS,NEVER"), "refused");
  EXPECT_EQ(notify("NEVER,NEVER"), "refused");
  EXPECT_EQ(notify(",SUCCESS"), "refused");
  EXPECT_EQ(notify("DELAY,DELAY,DELAY,DELAY"), "refused");
  EXPECT_EQ(notify(""), "refused");
}

TEST(ParseRcpt, OrcptIsBounded) {
  const std::string prefix = "TO:<a@b.example> ORCPT=rfc822;";
  EXPECT_EQ(rcpt_refusal(prefix + std::string(493, 'a')), "");
  EXPECT_EQ(rcpt_refusal(prefix + std::string(494, 'a')), "501 5.5.4");
}

TEST(ParseRcpt, OrcptUtf8) {
  const std::string prefix = "TO:<a@b.example> ORCPT=utf-8;";
  EXPECT_EQ(rcpt_refusal(prefix + "\\x{10FFFF}@b"), "");
  EXPECT_EQ(rcpt_refusal(prefix + "\\x{110000}@b"), "501 5.5.4");
  EXPECT_EQ(rcpt_refusal(prefix + "\\x{0A}@b"), "501 5.5.4");
  EXPECT_EQ(rcpt_refusal(prefix + "\\x{FC"), "501 5.5.4");
  EXPECT_EQ(rcpt_refusal(prefix + "\\x{}"), "501 5.5.4");
  EXPECT_EQ(rcpt_refusal(prefix + "\\x{fc}"), "501 5.5.4");
  EXPECT_EQ(rcpt_refusal(prefix + "\xc3\xbc@b"), "501 5.5.4");
  EXPECT_EQ(rcpt_refusal(prefix + "\xc3\xbc@b", true), "");
  EXPECT_EQ(rcpt_refusal(prefix + "\xc3@b", true), "501 5.5.4");
}

TEST(Xtext, Grammar) {
  EXPECT_TRUE(is_xtext("abc+2B+3D!~"));
  EXPECT_TRUE(is_xtext(""));
  for (const std::string_view bad :
       {"a b", "a=b", "+", "+2", "+2b", "+00", "+1F", "+7F", "+80", "\xc3\xbc", "a\tb"})
    EXPECT_FALSE(is_xtext(bad)) << bad;
  EXPECT_FALSE(is_xtext(std::string_view("a\0b", 3)));
}

TEST(ParseBdat, Sizes) {
  EXPECT_EQ(parse_bdat("0").octets, 0U);
  EXPECT_EQ(parse_bdat("18446744073709551615 LAST").octets, 18446744073709551615U);
  EXPECT_TRUE(parse_bdat("1 last").last);
  EXPECT_FALSE(parse_bdat("1").last);
  EXPECT_TRUE(parse_bdat("1 LAST LAST").malformed);
  for (const std::string_view bad : {"", "LAST", "x", "-1", "+1", "1x", "0x10", "1,5",
                                     "18446744073709551616", "000000000000000000001"})
    EXPECT_FALSE(parse_bdat(bad).octets.has_value()) << bad;
}

TEST(ParsePlain, NeedsTwoNuls) {
  const auto plain = parse_plain(std::string_view("z\0c\0p", 5));
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->authzid, "z");
  EXPECT_EQ(plain->authcid, "c");
  EXPECT_EQ(plain->password, "p");
  EXPECT_TRUE(parse_plain(std::string_view("\0c\0p", 4)));
  EXPECT_FALSE(parse_plain(""));
  EXPECT_FALSE(parse_plain(std::string_view("c\0p", 3)));
  EXPECT_FALSE(parse_plain(std::string_view("\0\0p", 3)));
  EXPECT_FALSE(parse_plain(std::string_view("\0c\0", 3)));
  EXPECT_FALSE(parse_plain(std::string_view("\0c\0p\0", 5)));
}

TEST(HelloName, TakesWhatCannotBeMisread) {
  for (const std::string_view good : {"a", "a.example", "my_pc", "[192.0.2.1]", "[IPv6:::1]", "a."})
    EXPECT_TRUE(is_hello_name(good)) << good;
  for (const std::string_view bad :
       {"", "a b", "a(b)", "<a>", "a@b", "a;b", "a\"b", "a\\b", "\xc3\xbc"})
    EXPECT_FALSE(is_hello_name(bad)) << bad;
}

TEST(Http, IsKnownByItsFirstWord) {
  for (const std::string_view word : {"GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "HOST:"})
    EXPECT_TRUE(looks_like_http(word)) << word;
  for (const std::string_view word : {"EHLO", "MAIL", "", ":"})
    EXPECT_FALSE(looks_like_http(word)) << word;
}

}  // namespace
}  // namespace smtp
