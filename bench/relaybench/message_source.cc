#include "relaybench/message_source.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/id.h"
#include "core/base/limits.h"
#include "core/base/units.h"
#include "core/mail/date.h"
#include "relaybench/bench_id.h"

namespace relaybench {
namespace {

constexpr std::uint64_t kSizeMax = 256 * base::kMiB;
constexpr std::uint64_t kFolderOctetsMax = base::kGiB;
constexpr std::size_t kLineOctets = 78;  // with CRLF
constexpr std::size_t kDigestsMax = 4096;

// Lines of printable text, every sixteenth with a dot in front, so that stuffing is done.
std::string lines(std::uint64_t octets_at_least) {
  std::string text;
  text.reserve(octets_at_least + kLineOctets);
  for (std::size_t line = 0; text.size() < octets_at_least; ++line) {
    const std::size_t start = text.size();
    for (std::size_t i = 0; i < kLineOctets - 2; ++i) {
      text += i % 8 == 7 ? ' ' : static_cast<char>('a' + (line * 7 + i) % 26);
    }
    if (line % 16 == 15) text[start] = '.';
    text += "\r\n";
  }
  return text;
}

// Every line end as CRLF, and one at the end: SMTP carries nothing else.
std::string with_crlf(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 40);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\0') continue;
    if (text[i] != '\r' && text[i] != '\n') {
      out += text[i];
      continue;
    }
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
    out += "\r\n";
  }
  if (!out.ends_with("\r\n")) out += "\r\n";
  return out;
}

std::string readable_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

base::Result<std::vector<SizeShare>> parse_sizes(std::string_view text) {
  std::vector<SizeShare> shares;
  for (const std::string_view part : base::parts(text, ',')) {
    const std::size_t colon = part.find(':');
    const auto size = base::parse_size(part.substr(0, colon));
    const auto weight = colon == std::string_view::npos
                            ? std::optional<std::uint64_t>(1)
                            : base::parse_unsigned(part.substr(colon + 1));
    if (!size || *size <= 0 || static_cast<std::uint64_t>(*size) > kSizeMax || !weight ||
        *weight == 0 || *weight > 1'000'000) {
      return base::error("'" + base::printable(part) +
                         "' is not a size like 4KiB (at most 256MiB), or one with a weight like "
                         "4KiB:80");
    }
    shares.push_back({static_cast<std::uint64_t>(*size), *weight});
  }
  return shares;
}

MessageSource::MessageSource(Options options)
    : options_(std::move(options)), run_(base::hex_encode(base::random_bytes(4))) {}

base::Result<MessageSource> MessageSource::open(Options options) {
  MessageSource source(std::move(options));
  if (!source.options_.folder.empty()) {
    if (auto loaded = source.load_folder(); !loaded) return loaded.error();
    return source;
  }
  std::uint64_t largest = 0;
  for (const SizeShare& share : source.options_.sizes) {
    largest = std::max(largest, share.octets);
    source.weights_ += share.weight;
  }
  source.text_ = lines(largest);
  return source;
}

base::Status MessageSource::load_folder() {
  std::error_code failure;
  std::vector<std::filesystem::path> paths;
  for (std::filesystem::directory_iterator at(options_.folder, failure), end; !failure && at != end;
       at.increment(failure)) {
    if (at->path().extension() == ".eml" && at->is_regular_file(failure)) {
      paths.push_back(at->path());
    }
  }
  if (failure) {
    return base::error("cannot read the folder " + options_.folder + ": " + failure.message());
  }
  std::sort(paths.begin(), paths.end());
  std::uint64_t octets = 0;
  for (const auto& path : paths) {
    const std::string text = with_crlf(readable_file(path));
    octets += text.size();
    if (octets > kFolderOctetsMax) {
      return base::error("the .eml files in " + options_.folder +
                         " have more than 1 GiB together, which is more than is kept in memory");
    }
    const std::size_t blank = text.find("\r\n\r\n");
    Stored stored;
    stored.header = blank == std::string::npos ? text + "\r\n" : text.substr(0, blank + 4);
    stored.body = blank == std::string::npos ? "" : text.substr(blank + 4);
    stored.eight_bit = !base::is_ascii(text);
    BodyDigest digest;
    digest.update(stored.body);
    stored.digest = digest.value();
    stored_.push_back(std::move(stored));
  }
  if (stored_.empty()) return base::error("there is no .eml file in " + options_.folder);
  return base::Ok{};
}

void MessageSource::next(OutgoingMessage& into) {
  const std::uint64_t number = number_++;
  const std::string& from = options_.from[number % options_.from.size()];
  const std::string& rcpt = options_.rcpt[number % options_.rcpt.size()];
  into.envelope.mail_from = from;
  into.envelope.body = mail::BodyType::k7Bit;
  into.recipients.resize(1);
  into.recipients.front().address = rcpt;
  into.tail.clear();
  if (stored_.empty()) return generate(into, from, rcpt);
  const Stored& stored = stored_[number % stored_.size()];
  into.id = make_id(run_, number, stored.digest);
  if (stored.eight_bit) into.envelope.body = mail::BodyType::k8BitMime;
  into.header.assign(kIdField).append(": ").append(into.id).append("\r\n").append(stored.header);
  into.body = stored.body;
}

void MessageSource::generate(OutgoingMessage& into, const std::string& from,
                             const std::string& rcpt) {
  const SizeShare* share = options_.sizes.data();
  if (options_.sizes.size() > 1) {
    std::uint64_t drawn = random_() % weights_;
    while (drawn >= share->weight) drawn -= share++->weight;
  }
  const std::int64_t now_s = std::time(nullptr);
  if (now_s != date_s_) {
    date_s_ = now_s;
    date_ = mail::format_date(now_s * 1000);
  }
  std::string& header = into.header;
  // The id is last to be known: it holds the digest of the body, whose length follows from here.
  header.assign(kIdField).append(": ").append(kIdOctets, '-');
  header.append("\r\nFrom: <").append(from).append(">\r\nTo: <").append(rcpt);
  header.append(">\r\nSubject: relaybench\r\nDate: ").append(date_);
  header.append("\r\nMessage-ID: <").append(kIdOctets, '-');
  const std::size_t second_id = header.size() - kIdOctets;
  header.append("@relaybench.invalid>\r\nMIME-Version: 1.0\r\n");
  header.append("Content-Type: text/plain; charset=us-ascii\r\n\r\n");

  std::uint64_t left = share->octets - std::min<std::uint64_t>(share->octets, header.size());
  // Whole lines, then one that fills up; a rest of one octet cannot be a line.
  std::uint64_t whole = left / kLineOctets;
  if (left % kLineOctets == 1 && whole > 0) --whole;
  into.body = std::string_view(text_).substr(0, whole * kLineOctets);
  left -= into.body.size();
  if (left >= 2) into.tail.assign(left - 2, 'z').append("\r\n");

  const std::uint64_t length = into.body.size() + into.tail.size();
  if (digest_.size() > kDigestsMax) digest_.clear();
  auto at = digest_.find(length);
  if (at == digest_.end()) {
    BodyDigest digest;
    digest.update(into.body);
    digest.update(into.tail);
    at = digest_.emplace(length, digest.value()).first;
  }
  into.id = make_id(run_, number_ - 1, at->second);
  header.replace(kIdField.size() + 2, kIdOctets, into.id);
  header.replace(second_id, kIdOctets, into.id);
}

}  // namespace relaybench
