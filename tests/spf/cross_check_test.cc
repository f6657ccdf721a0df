// Our own evaluator against libspf2 behind the same grammar and lookup layer: the whole table and
// generated worlds. Where they disagree the test says why; a disagreement without a reason fails.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "spf/cases.h"

namespace spf_test {
namespace {

std::string text_of(const spf::Verdict& verdict) {
  return std::string(spf::name(verdict.result)) + " '" + verdict.explanation + "'";
}

// Rows of the table where libspf2 says something else, and why.
const std::map<std::string, std::string>& explained() {
  static const std::map<std::string, std::string> kExplained = {
      {"4.6.4 a p that is not reached is none",
       "libspf2 is given a record whose names are all expanded, so %{p} is asked for and counted "
       "before the record is evaluated"},
      {"4.6.4 a term that can match nothing is one",
       "such a term is left out of the record for libspf2, which therefore reaches one more"},
  };
  return kExplained;
}

TEST(SpfCrossCheck, Table) {
  std::map<std::string, std::string> unused = explained();
  for (const Case& test : cases()) {
    const auto own = replay(test).verdict;
    const auto library = replay(test, spf::Engine::kLibspf2).verdict;
    if (text_of(own) == text_of(library)) continue;
    EXPECT_EQ(unused.erase(test.section + " " + test.what), 1U)
        << test.section << " " << test.what << ": no reason is known\n  own: " << text_of(own)
        << ", " << own.reason << "\n  libspf2: " << text_of(library) << ", " << library.reason;
  }
  for (const auto& [row, why] : unused) ADD_FAILURE() << "the engines agree: " << row;
}

// A small world: domains with records made of terms, addresses, exchangers and faults.
class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  Zone zone() {
    Zone zone;
    for (const std::string domain : kDomains) {
      zone.add(domain + " TXT " + (one_in(25) ? fault() : record()));
      if (one_in(20)) zone.add(domain + " TXT v=spf1 a");
      if (!one_in(5)) zone.add(domain + " A " + (one_in(20) ? fault() : address()));
      if (!one_in(3)) zone.add(domain + " AAAA " + (one_in(20) ? fault() : address6()));
      for (int i = number(4); i > 0; --i) {
        zone.add(domain + " MX " + std::to_string(number(3)) + " " + this->domain());
      }
      zone.add("why." + domain + " TXT for %{d}, %{i}");
    }
    for (int i = number(3); i > 0; --i) zone.add("1.2.0.192.in-addr.arpa PTR " + domain());
    return zone;
  }

  spf::Request request() {
    spf::Request request = ordinary();
    if (one_in(4)) request.ip = "2001:db8::1";
    if (one_in(10)) request.mail_from.clear();
    request.helo = one_in(10) ? "pc" : domain();
    return request;
  }

 private:
  static constexpr const char* kDomains[] = {"example.com", "a.example.com", "b.net", "c.b.net",
                                             "d.org",       "e.org",         "f.org"};

  int number(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  bool one_in(int count) { return number(count) == 0; }
  std::string pick(const std::vector<std::string>& from) { return from[random_() % from.size()]; }
  std::string domain() { return kDomains[random_() % std::size(kDomains)]; }
  std::string fault() { return pick({"!servfail", "!timeout", "!nodata", "!nxdomain"}); }
  std::string address() { return pick({"192.0.2.1", "192.0.2.77", "192.0.3.1", "203.0.113.1"}); }
  std::string address6() { return pick({"2001:db8::1", "2001:db8::77", "2001:db9::1"}); }
  std::string target() {
    if (one_in(4)) return pick({"%{d}", "%{o}", "%{h}", "%{d2}", "a.%{o}", "%{l}.b.net", "%{p}"});
    return one_in(12) ? "nowhere.org" : domain();
  }
  std::string prefixes() { return pick({"", "", "", "/24", "/0", "//64", "//0", "/16//32"}); }
  std::string mechanism() {
    switch (number(9)) {
      case 0:
        return "ip4:" + address() + pick({"", "", "/24", "/16", "/0"});
      case 1:
        return "ip6:" + address6() + pick({"", "", "/64", "/32", "/0"});
      case 2:
      case 3:
        return "a" + (one_in(2) ? "" : ":" + target()) + prefixes();
      case 4:
        return "mx" + (one_in(2) ? "" : ":" + target()) + prefixes();
      case 5:
        return one_in(2) ? "ptr" : "ptr:" + target();
      case 6:
        return "exists:" + target();
      default:
        return "include:" + target();
    }
  }
  std::string record() {
    std::string text = one_in(15) ? "v=spf10" : "v=spf1";
    for (int i = number(one_in(8) ? 18 : 5); i > 0; --i) {
      text += " " + pick({"", "", "", "+", "-", "~", "?"}) + mechanism();
    }
    if (one_in(2)) text += " exp=why.%{d}";
    if (one_in(4)) text += " redirect=" + target();
    if (one_in(30)) text += pick({" foo", " a:b", " moo=cow", " ip4:1.2.3", " %"});
    if (one_in(2)) text += " " + pick({"-", "~", "?", "+"}) + "all";
    return text;
  }

  std::mt19937 random_;
};

TEST(SpfCrossCheck, GeneratedWorlds) {
  std::map<std::string, int> results;
  for (unsigned seed = 1; seed <= 500; ++seed) {
    Generator generator(seed);
    const Zone zone = generator.zone();
    const spf::Request request = generator.request();
    const auto own = replay(request, zone);
    const auto library = replay(request, zone, spf::Engine::kLibspf2);
    ++results[std::string(spf::name(own.verdict.result))];
    if (text_of(own.verdict) == text_of(library.verdict)) continue;
    std::string steps;
    for (const std::string& step : own.steps) steps += "\n    " + step;
    ADD_FAILURE() << "seed " << seed << "\n  own: " << text_of(own.verdict) << steps
                  << "\n  libspf2: " << text_of(library.verdict) << ", " << library.verdict.reason;
  }
  // The worlds are of use only if they reach every result.
  for (const char* result :
       {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}) {
    EXPECT_GE(results[result], 10) << result;
  }
}

}  // namespace
}  // namespace spf_test
