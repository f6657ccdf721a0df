// The grammar of DMARC policy records.
#include "policy/dmarc_record.h"

#include <gtest/gtest.h>

#include <string>

namespace {

struct Row {
  const char* what;
  std::string text;
  std::string expected;  // "p sp np flags...", - for absent, ! for invalid; "" for no record
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.what; }

std::string summary(const std::string& text) {
  const auto record = policy::parse_dmarc_record(text);
  if (!record) return "";
  if (record->malformed) return "malformed";
  const auto policy = [](const std::optional<policy::DmarcPolicy>& value, bool invalid) {
    return value ? std::string(policy::name(*value)) : invalid ? "!" : "-";
  };
  std::string out = policy(record->p, record->invalid_p) + " " +
                    policy(record->sp, record->invalid_sp) + " " +
                    policy(record->np, record->invalid_np);
  if (record->strict_dkim) out += " adkim";
  if (record->strict_spf) out += " aspf";
  if (record->psd != 'u') out += std::string(" psd=") + record->psd;
  if (record->testing) out += " t";
  if (record->pct != 100) out += " pct=" + std::to_string(record->pct);
  if (record->has_reports) out += " rua";
  return out;
}

class DmarcRecordTable : public testing::TestWithParam<Row> {};
TEST_P(DmarcRecordTable, Parsed) { EXPECT_EQ(summary(GetParam().text), GetParam().expected); }

INSTANTIATE_TEST_SUITE_P(
    Rfc9989, DmarcRecordTable,
    testing::Values(
        Row{"4.8 the least", "v=DMARC1", "- - -"},
        Row{"4.8 with a separator", "v=DMARC1;", "- - -"},
        Row{"4.7 all tags",
            "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; psd=y; t=y; fo=0:d; "
            "rua=mailto:a@example.com; ruf=mailto:b@example.com",
            "reject quarantine none adkim aspf psd=y t rua"},
        Row{"4.8 blanks about = and ;", "v\t=  DMARC1\t ;\t p =\treject ; aspf = s",
            "reject - - aspf"},
        Row{"4.8 no blanks", "v=DMARC1;p=reject;adkim=s", "reject - - adkim"},
        Row{"4.8 blanks at both ends", "  v=DMARC1; p=none \t", "none - -"},
        Row{"4.8 separators in a row", "v=DMARC1;; ;p=reject;;", "reject - -"},
        Row{"4.8 v in capitals (RFC 5234 2.3)", "V=DMARC1; p=reject", "reject - -"},
        Row{"4.8 names and values in capitals (RFC 5234 2.3)", "v=DMARC1; P=Reject; ADKIM=S",
            "reject - - adkim"},
        Row{"4.7 DMARC1 in small letters", "v=dmarc1; p=reject", ""},
        Row{"4.7 v not first", "p=reject; v=DMARC1", ""}, Row{"4.7 v absent", "p=reject", ""},
        Row{"4.7 empty", "", ""}, Row{"4.7 a separator first", ";v=DMARC1; p=reject", ""},
        Row{"4.7 another version", "v=DMARC2; p=reject", ""},
        Row{"4.7 DMARC10", "v=DMARC10; p=reject", ""},
        Row{"4.7 no separator behind the version", "v=DMARC1 p=reject", ""},
        Row{"4.7 a comma for a separator", "v=DMARC1, p=reject", ""},
        Row{"4.7 version in quotes", "v=\"DMARC1\"; p=reject", ""},
        Row{"4.8 a line end is no blank", "v=DMARC1\r\n; p=reject", ""},
        Row{"4.7 v without a value", "v; p=reject", ""},
        Row{"4.7 another tag's name ends in v", "xv=DMARC1; p=reject", ""},
        Row{"RFC 7208 4.5 SPF is not DMARC", "v=spf1 -all", ""},
        Row{"4.7 any order behind v", "v=DMARC1; aspf=s; sp=none; p=reject", "reject none - aspf"},
        Row{"4.7 unknown tags", "v=DMARC1; x=1; pp=none; p=reject; rf=afrf; ri=86400",
            "reject - -"},
        Row{"4.8 a part without =", "v=DMARC1; hello; p=reject", "reject - -"},
        Row{"4.8 a colon for =", "v=DMARC1; p=reject; adkim:s", "reject - -"},
        Row{"4.8 a name that is none", "v=DMARC1; a b=c; =x; 1=2; p=reject", "reject - -"},
        Row{"4.8 = in a value", "v=DMARC1; p=reject; rua=mailto:a@b.example?subject=x",
            "reject - - rua"},
        Row{"4.10.1 p invalid", "v=DMARC1; p=rejected", "! - -"},
        Row{"4.10.1 p empty", "v=DMARC1; p=; sp=none", "! none -"},
        Row{"4.10.1 sp invalid", "v=DMARC1; p=reject; sp=no", "reject ! -"},
        Row{"4.10.1 np invalid", "v=DMARC1; p=reject; np=reject,", "reject - !"},
        Row{"4.8 adkim and aspf invalid: r", "v=DMARC1; p=none; adkim=x; aspf=strict", "none - -"},
        Row{"4.8 t invalid: n", "v=DMARC1; p=none; t=yes", "none - -"},
        Row{"4.8 psd invalid: u", "v=DMARC1; p=none; psd=yes", "none - -"},
        Row{"4.7 psd=n", "v=DMARC1; p=none; psd=N", "none - - psd=n"},
        Row{"4.7 psd=u", "v=DMARC1; p=none; psd=u", "none - -"},
        Row{"4.8 octets that are not ASCII", "v=DMARC1; p=reject; x=\xc3\xbc; aspf=\xff",
            "reject - -"},
        Row{"RFC 6376 3.2 a tag twice", "v=DMARC1; p=none; p=reject", "malformed"},
        Row{"RFC 6376 3.2 a tag twice with one value", "v=DMARC1; p=reject; p=reject", "malformed"},
        Row{"RFC 6376 3.2 an unknown tag twice", "v=DMARC1; p=reject; x=1; x=2", "malformed"},
        Row{"RFC 6376 3.2 v twice", "v=DMARC1; v=DMARC1; p=reject", "malformed"},
        Row{"4.6 rua, https", "v=DMARC1; p=none; rua=https://r.example/in", "none - - rua"},
        Row{"4.6 rua, a list with blanks", "v=DMARC1; p=none; rua=x , mailto:a@b.example",
            "none - - rua"},
        Row{"4.8 rua, obsolete size", "v=DMARC1; p=none; rua=mailto:a@b.example!50m",
            "none - - rua"},
        Row{"4.8 rua, no such size", "v=DMARC1; p=none; rua=mailto:a@b.example!50x", "none - -"},
        Row{"4.8 rua, ! in the address", "v=DMARC1; p=none; rua=mailto:a!b@c.example", "none - -"},
        Row{"RFC 3986 2.1 rua, encoded", "v=DMARC1; p=none; rua=mailto:a%21b@c.example",
            "none - - rua"},
        Row{"RFC 3986 2.1 rua, badly encoded", "v=DMARC1; p=none; rua=mailto:a%2@c.example",
            "none - -"},
        Row{"RFC 3986 3.1 rua without a scheme", "v=DMARC1; p=none; rua=a@b.example", "none - -"},
        Row{"RFC 3986 3.1 rua, no scheme's name", "v=DMARC1; p=none; rua=1x:a@b.example",
            "none - -"},
        Row{"RFC 3986 2 rua, a blank inside", "v=DMARC1; p=none; rua=mailto:a b@c.example",
            "none - -"},
        Row{"4.7 rua empty", "v=DMARC1; p=none; rua=", "none - -"},
        Row{"RFC 7489 6.3 pct", "v=DMARC1; p=none; pct=25", "none - - pct=25"},
        Row{"RFC 7489 6.4 pct of four digits", "v=DMARC1; p=none; pct=1000", "none - -"}));

TEST(DmarcRecord, Bounds) {
  const std::string start = "v=DMARC1; p=reject; ";
  EXPECT_EQ(summary(start + "x=" + std::string(8192 - start.size() - 2, 'y')), "reject - -");
  EXPECT_EQ(summary(start + "x=" + std::string(8193 - start.size() - 2, 'y')), "");
  std::string many = start;
  for (int i = 0; i < 200; ++i) many += "x" + std::to_string(i) + "=1;";
  EXPECT_EQ(summary(many), "malformed");
}

}  // namespace
