#include "smtp/dialogue.h"

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "core/base/bytes.h"

namespace smtp_test {

namespace {

using Kind = DialogueStep::Kind;

constexpr std::size_t kUnescapedOctetsMax = 4 * 1024 * 1024;

std::optional<std::string> set_header(Dialogue& dialogue, std::string_view key,
                                      std::string_view value) {
  if (key == "role" && (value == "mx" || value == "submission")) {
    dialogue.submission = value == "submission";
  } else if (key == "tls" && (value == "none" || value == "offered" || value == "inside")) {
    dialogue.tls = value == "none"      ? Dialogue::Tls::kNone
                   : value == "offered" ? Dialogue::Tls::kOffered
                                        : Dialogue::Tls::kInside;
  } else if (key == "feed" && value == "whole") {
    dialogue.whole_only = true;
  } else if (key == "machine-only" && !value.empty()) {
    dialogue.machine_only = true;
  } else if (key == "limit") {
    const std::size_t equals = value.find('=');
    const auto& table = base::limit_table();
    const auto row = std::find_if(table.begin(), table.end(), [&](const base::LimitRow& r) {
      return r.name == value.substr(0, equals);
    });
    if (equals == std::string_view::npos || row == table.end()) return "no such limit";
    const auto number = base::parse_unsigned(value.substr(equals + 1));
    if (!number) return "a limit is a number";
    dialogue.limits.*(row->field) = static_cast<std::int64_t>(*number);
    dialogue.machine_only = true;
  } else {
    return "unknown directive or value";
  }
  return std::nullopt;
}

struct Word {
  std::string_view prefix;
  Kind kind;
};
constexpr Word kWords[] = {
    {"C:", Kind::kClient},          {"C raw:", Kind::kClient},
    {"S:", Kind::kServer},          {"delivered:", Kind::kDelivered},
    {"envelope:", Kind::kEnvelope},
};

// They nest: `\{2*\{3*x}\r\n}`.
std::size_t matching_brace(std::string_view text, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    if (text[i] == '{') ++depth;
    if (text[i] == '}' && --depth == 0) return i;
  }
  return std::string_view::npos;
}

}  // namespace

base::Result<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (out.size() > kUnescapedOctetsMax) return base::error("too long");
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    const std::string_view rest = text.substr(i + 1);
    if (rest.empty()) return base::error("a backslash at the end");
    if (rest[0] == 'x') {
      const auto octet = base::hex_decode(rest.substr(1, 2));
      if (!octet || octet->size() != 1) return base::error("\\x takes two hex digits");
      out += *octet;
      i += 3;
      continue;
    }
    constexpr std::string_view kBase64 = "base64{";
    if (rest[0] == '{' || rest.substr(0, kBase64.size()) == kBase64) {
      const std::size_t open = rest.find('{');
      const std::size_t close = matching_brace(rest, open);
      if (close == std::string_view::npos) return base::error("a { without }");
      const std::string_view inside = rest.substr(open + 1, close - open - 1);
      const std::size_t star = open == 0 ? inside.find('*') : 0;
      if (star == std::string_view::npos) return base::error("\\{ takes N*text}");
      auto inner = unescape(open == 0 ? inside.substr(star + 1) : inside);
      if (!inner) return inner.error();
      if (open != 0) {
        out += base::base64_encode(*inner);
      } else {
        const auto times = base::parse_unsigned(inside.substr(0, star));
        if (!times || *times * inner->size() > kUnescapedOctetsMax)
          return base::error("\\{ takes N*text}");
        for (std::uint64_t n = 0; n < *times; ++n) out += *inner;
      }
      i += 1 + close;
      continue;
    }
    constexpr std::string_view kNames = "rnt0\\";
    constexpr std::string_view kOctets("\r\n\t\0\\", 5);
    const std::size_t name = kNames.find(rest[0]);
    if (name == std::string_view::npos) return base::error("unknown escape");
    out += kOctets[name];
    ++i;
  }
  return out;
}

base::Result<Dialogue> parse_dialogue(std::string_view name, std::string_view script) {
  Dialogue dialogue;
  dialogue.name = name;
  int number = 0;
  for (std::string_view line : base::split(script, '\n')) {
    ++number;
    const auto wrong = [&](std::string_view what) {
      return base::error(std::string(name) + ":" + std::to_string(number) + ": " +
                         std::string(what));
    };
    if (base::trim(line).empty() || line.front() == '#') continue;
    if (line == "closed") {
      dialogue.steps.push_back({Kind::kClosed, number, ""});
      continue;
    }
    if (line == "TLS") {
      dialogue.steps.push_back({Kind::kTls, number, ""});
      continue;
    }
    const Word* word = std::find_if(std::begin(kWords), std::end(kWords), [&](const Word& w) {
      return line.substr(0, w.prefix.size()) == w.prefix;
    });
    if (word == std::end(kWords)) {
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos) return wrong("not a line of a script");
      if (!dialogue.steps.empty()) return wrong("directives stand before the dialogue");
      if (auto error =
              set_header(dialogue, line.substr(0, colon), base::trim(line.substr(colon + 1))))
        return wrong(*error);
      continue;
    }
    std::string_view text = line.substr(word->prefix.size());
    if (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    DialogueStep step{word->kind, number, std::string(text)};
    if (step.kind != Kind::kServer) {
      auto bytes = unescape(text);
      if (!bytes) return wrong(bytes.message());
      step.text = bytes.take();
      if (word->prefix == "C:") step.text += "\r\n";
    }
    dialogue.steps.push_back(std::move(step));
  }
  if (dialogue.steps.empty()) return base::error(std::string(name) + ": no dialogue in it");
  return dialogue;
}

bool line_matches(std::string_view pattern, std::string_view line) {
  if (!pattern.empty() && pattern.back() == '*') {
    pattern.remove_suffix(1);
    return line.substr(0, pattern.size()) == pattern;
  }
  return line == pattern;
}

namespace {

class Runner {
 public:
  Runner(const Dialogue& dialogue, Cut cut)
      : dialogue_(dialogue), cut_(cut), random_(cut.seed), owner_(options(), dialogue.limits) {
    collect();
  }

  DialogueRun run() {
    for (std::size_t at = 0; at < dialogue_.steps.size() && run_.error.empty(); ++at)
      step(dialogue_.steps[at],
           at + 1 < dialogue_.steps.size() ? &dialogue_.steps[at + 1] : nullptr);
    if (run_.error.empty()) finish();
    run_.trail = owner_.trail();
    run_.delivered = owner_.delivered();
    return std::move(run_);
  }

 private:
  [[nodiscard]] smtp::ServerOptions options() const {
    smtp::ServerOptions options;
    options.hostname = "relay.example.net";
    options.starttls = dialogue_.tls == Dialogue::Tls::kOffered;
    options.inside_tls = dialogue_.tls == Dialogue::Tls::kInside;
    options.auth_in_plaintext = dialogue_.tls == Dialogue::Tls::kNone;
    options.auth_required = dialogue_.submission;
    return options;
  }

  void step(const DialogueStep& step, const DialogueStep* following) {
    switch (step.kind) {
      case Kind::kClient:
        if (turn_.empty() && !unread_.empty())
          return fail(step, "the server said more: " + base::printable(unread_));
        turn_ += step.text;
        if (following == nullptr || following->kind != Kind::kClient) send_turn();
        break;
      case Kind::kServer:
        expect(step);
        break;
      case Kind::kTls:
        if (!owner_.tls_wanted()) return fail(step, "the server does not wait for TLS");
        owner_.tls_started();
        break;
      case Kind::kClosed:
        if (!owner_.closed()) return fail(step, "the server did not close");
        break;
      case Kind::kDelivered:
        if (owner_.delivered().size() <= delivered_) return fail(step, "nothing was delivered");
        if (owner_.delivered()[delivered_].content != step.text)
          return fail(step, "delivered instead: " +
                                base::printable(owner_.delivered()[delivered_].content, 400));
        ++delivered_;
        break;
      case Kind::kEnvelope:
        if (delivered_ == 0) return fail(step, "envelope: stands behind delivered:");
        if (owner_.delivered()[delivered_ - 1].envelope != step.text)
          return fail(step, "the envelope was " + owner_.delivered()[delivered_ - 1].envelope);
        break;
    }
  }

  void send_turn() {
    std::string_view left = turn_;
    while (!left.empty() && !owner_.closed()) {
      std::size_t size = left.size();
      if (cut_.kind == Cut::Kind::kBytes) size = 1;
      if (cut_.kind == Cut::Kind::kRandom) {
        std::uniform_int_distribution<std::size_t> sizes(1, std::min<std::size_t>(size, 40));
        size = sizes(random_);
      }
      owner_.feed(left.substr(0, size));
      left.remove_prefix(size);
    }
    turn_.clear();
    collect();
  }

  void collect() {
    const std::string output = owner_.take_output();
    unread_ += output;
    run_.output += output;
  }

  // The next line the server said, without CRLF.
  std::optional<std::string_view> peek() const {
    const std::size_t end = unread_.find("\r\n");
    if (end == std::string::npos) return std::nullopt;
    return std::string_view(unread_).substr(0, end);
  }

  void expect(const DialogueStep& step) {
    constexpr std::string_view kAnyMore = "-...";
    if (step.text.size() == 3 + kAnyMore.size() && step.text.substr(3) == kAnyMore) {
      const std::string_view start = std::string_view(step.text).substr(0, 4);
      while (peek() && peek()->substr(0, 4) == start) unread_.erase(0, peek()->size() + 2);
      return;
    }
    const auto line = peek();
    if (!line) return fail(step, "the server said nothing");
    if (!line_matches(step.text, *line))
      return fail(step, "the server said \"" + std::string(*line) + "\"");
    unread_.erase(0, line->size() + 2);
  }

  void finish() {
    const DialogueStep& last = dialogue_.steps.back();
    if (!unread_.empty()) return fail(last, "the server said more: " + base::printable(unread_));
    if (owner_.closed() != (last.kind == Kind::kClosed))
      return fail(last, owner_.closed() ? "the server closed: " + owner_.close_reason()
                                        : "the script must end as the session does");
    if (owner_.delivered().size() != delivered_)
      return fail(last, std::to_string(owner_.delivered().size() - delivered_) +
                            " messages were delivered that the script does not have");
  }

  void fail(const DialogueStep& step, const std::string& what) {
    run_.error = dialogue_.name + ":" + std::to_string(step.line) + ": " + what;
  }

  const Dialogue& dialogue_;
  Cut cut_;
  std::mt19937 random_;
  FixedOwner owner_;
  std::string turn_;
  std::string unread_;
  std::size_t delivered_ = 0;
  DialogueRun run_;
};

}  // namespace

DialogueRun run_dialogue(const Dialogue& dialogue, Cut cut) { return Runner(dialogue, cut).run(); }

}  // namespace smtp_test
