#include "relayd/tickets/mime_parts.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/mail/headers.h"

namespace tickets {
namespace {

constexpr std::size_t kDepthMax = 32;
constexpr std::size_t kPartHeaderMax = 16 * 1024;
constexpr std::size_t kDelimiterLineMax = 1100;  // a boundary and its blanks
constexpr std::size_t kPrefixMax = 64 * 1024;    // the fields that relayd puts in front

std::string_view without_line_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

const std::string* MimeParts::find(std::string_view name) const {
  const auto at = std::find_if(headers.begin(), headers.end(),
                               [&](const auto& field) { return base::iequals(field.first, name); });
  return at == headers.end() ? nullptr : &at->second;
}

MimeWalk::MimeWalk(const base::Limits& limits) : limits_(limits) {}

void MimeWalk::feed(std::string_view piece) {
  while (!piece.empty() && stage_ != Stage::kDone) {
    if (stage_ == Stage::kBody && open_.empty()) {  // nothing to look for: to the end
      if (leaf_) sink(piece);
      return;
    }
    const auto end = piece.find('\n');
    const bool whole = end != std::string_view::npos;
    const std::string_view line = whole ? piece.substr(0, end + 1) : piece;
    take_line(line, whole);
    piece.remove_prefix(line.size());
  }
}

void MimeWalk::take_line(std::string_view line, bool whole) {
  if (stage_ == Stage::kHeader) {
    header_piece(line, whole);
  } else {
    body_piece(line, whole);
  }
}

void MimeWalk::header_piece(std::string_view piece, bool whole) {
  // Past the bound only the end of the section, or of the part, is still looked for.
  const auto bound =
      top_ ? static_cast<std::size_t>(limits_.header_size) + kPrefixMax : kPartHeaderMax;
  const std::size_t room = std::max(kDelimiterLineMax, bound - std::min(bound, header_octets_));
  line_.append(piece.substr(0, room - std::min(room, line_.size())));
  header_octets_ += piece.size();
  if (!whole) return;
  const std::string line = std::exchange(line_, {});
  const std::string_view text = without_line_end(line);
  if (text.empty()) {
    end_of_header();
    return;
  }
  // A part without an empty line behind its header ends at the next delimiter.
  if (!open_.empty() && text.starts_with("--") && delimiter_line(text)) return;
  if (header_octets_ > bound) return;
  if (is_blank(text.front()) && !field_.empty()) {
    field_ += line;
    return;
  }
  add_field();
  field_ = line;
}

// What is no field (no colon, a blank or control character in its name) is left out.
void MimeWalk::add_field() {
  const std::string field = std::exchange(field_, {});
  const auto colon = field.find(':');
  if (colon == std::string::npos) return;
  std::string_view name = std::string_view(field).substr(0, colon);
  while (!name.empty() && is_blank(name.back())) name.remove_suffix(1);
  const bool is_name = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
  });
  if (!is_name) return;
  std::string value = mail::unfold(without_line_end(std::string_view(field).substr(colon + 1)));
  const auto first = [&](std::string_view wanted, std::string& into) {
    if (into.empty() && base::iequals(name, wanted)) into = value;
  };
  first("Content-Type", type_field_);
  first("Content-Transfer-Encoding", encoding_field_);
  first("Content-Disposition", disposition_field_);
  if (top_ && out_.headers.size() < static_cast<std::size_t>(limits_.header_fields)) {
    out_.headers.emplace_back(clean(name), clean(value));
  }
}

void MimeWalk::end_of_header() {
  add_field();
  type_ = parse_content_type(type_field_);
  if (type_field_.empty() && !open_.empty() && open_.back().digest) type_.type = "message/rfc822";
  if (top_) out_.content_type = type_;
  stage_ = Stage::kBody;
  passing_ = false;
  end_of_line_.clear();
  if (type_.is_multipart() && !type_.boundary.empty() && open_.size() < kDepthMax) {
    open_.push_back(
        {"--" + type_.boundary, type_.is("multipart/alternative"), type_.is("multipart/digest")});
    leaf_ = false;
  } else {
    begin_part();
  }
  top_ = false;
}

void MimeWalk::begin_part() {
  leaf_ = true;
  decoder_.emplace(encoding_field_);
  collected_.clear();
  const Disposition disposition = parse_disposition(disposition_field_);
  attachment_ = Attachment{disposition.filename ? disposition.filename : type_.name, type_.type, 0};
  const bool readable = !disposition.attachment && !attachment_.name;
  const bool again = !open_.empty() && open_.back().alternative;  // the first version counts
  role_ = Role::kAttachment;
  // A multipart without a boundary is at best a text that somebody mislabelled.
  const bool plain = type_.is("text/plain") || (parts_ == 1 && type_.is_multipart());
  if (readable && plain && !(out_.text && again)) role_ = Role::kText;
  if (readable && type_.is("text/html") && !(out_.html && again)) role_ = Role::kHtml;
}

void MimeWalk::end_part() {
  if (!leaf_) return;
  leaf_ = false;
  decoder_.reset();
  if (role_ == Role::kAttachment) {
    out_.attachments.push_back(std::exchange(attachment_, {}));
    return;
  }
  auto& into = role_ == Role::kText ? out_.text : out_.html;
  const auto octets_max = static_cast<std::size_t>(limits_.ticket_text);
  const std::size_t have = into ? into->size() + 1 : 0;
  const std::string text =
      to_readable(std::exchange(collected_, {}), type_.charset,
                  octets_max > have ? octets_max - have : 0, out_.text_truncated);
  if (!into) {
    into = text;
  } else if (!text.empty()) {
    if (!into->ends_with('\n')) *into += '\n';
    *into += text;
  }
}

void MimeWalk::body_piece(std::string_view piece, bool whole) {
  if (!passing_) {
    line_.append(piece);
    const bool may_be = line_.starts_with("--") || (line_.size() < 2 && line_.starts_with('-'));
    if (!whole && may_be && line_.size() < kDelimiterLineMax) return;
    const std::string line = std::exchange(line_, {});
    if (may_be && whole && delimiter_line(without_line_end(line))) return;
    if (leaf_) deliver(line);
  } else if (leaf_) {
    deliver(piece);
  }
  passing_ = !whole;
}

// RFC 2046 5.1.1: the line end in front of a delimiter belongs to the delimiter.
void MimeWalk::deliver(std::string_view piece) {
  if (end_of_line_ == "\r" && piece == "\n") {
    end_of_line_ += '\n';
    return;
  }
  if (!end_of_line_.empty()) sink(end_of_line_);
  std::string_view text = without_line_end(piece);
  end_of_line_ = piece.substr(text.size());
  if (!text.empty()) sink(text);
}

void MimeWalk::sink(std::string_view encoded) {
  const std::string_view bytes = decoder_->decode(encoded);
  if (role_ == Role::kAttachment) {
    attachment_.size += bytes.size();
    return;
  }
  // One octet more than is shown, so that the cut is seen.
  const auto keep = static_cast<std::size_t>(limits_.ticket_text) + 1;
  const std::size_t room = keep - std::min(keep, collected_.size());
  if (bytes.size() > room) out_.text_truncated = true;
  collected_.append(bytes.substr(0, room));
}

// A boundary of an outer multipart ends the inner ones, whether they were closed or not.
bool MimeWalk::delimiter_line(std::string_view line) {
  for (std::size_t level = open_.size(); level-- > 0;) {
    const std::string& delimiter = open_[level].delimiter;
    if (!line.starts_with(delimiter)) continue;
    std::string_view rest = line.substr(delimiter.size());
    const bool closes = rest.starts_with("--");
    if (closes) rest.remove_prefix(2);
    if (!std::all_of(rest.begin(), rest.end(), is_blank)) continue;
    end_part();
    open_.resize(closes ? level : level + 1);
    passing_ = false;
    end_of_line_.clear();
    line_.clear();
    field_.clear();
    type_field_.clear();
    encoding_field_.clear();
    disposition_field_.clear();
    header_octets_ = 0;
    if (closes) {
      stage_ = open_.empty() ? Stage::kDone : Stage::kBody;
    } else if (parts_ >= limits_.ticket_parts) {
      out_.text_truncated = true;
      stage_ = Stage::kDone;
    } else {
      ++parts_;
      stage_ = Stage::kHeader;
    }
    return true;
  }
  return false;
}

MimeParts MimeWalk::finish() {
  if (stage_ == Stage::kHeader) {
    if (!line_.empty()) header_piece("\r\n", true);
    const bool was_top = top_;
    if (stage_ == Stage::kHeader) end_of_header();
    // A header alone: an empty text for the message, nothing for a part that was cut off.
    if (!was_top) leaf_ = false;
  } else if (stage_ == Stage::kBody && leaf_) {
    if (!line_.empty() && !passing_ && !delimiter_line(without_line_end(line_))) deliver(line_);
    if (leaf_ && !end_of_line_.empty()) sink(end_of_line_);
  }
  end_part();
  return std::move(out_);
}

}  // namespace tickets
