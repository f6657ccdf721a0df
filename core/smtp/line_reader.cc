#include "core/smtp/line_reader.h"

#include <string.h>  // explicit_bzero

#include <algorithm>

namespace smtp {

LineReader::Read LineReader::read(std::string_view input, std::size_t octets_max) {
  if (input.empty()) return {State::kMore, 0};
  if (done_) {
    line_.clear();
    done_ = too_long_ = false;
    last_ = 0;
  }
  const std::size_t lf = input.find('\n');
  const bool ended = lf != std::string_view::npos;
  const std::string_view piece = input.substr(0, ended ? lf + 1 : input.size());
  if (piece.size() > octets_max - std::min(octets_max, line_.size())) too_long_ = true;
  // Of a line that is too long only the beginning is of interest: which command it was.
  const std::size_t room = octets_max - std::min(octets_max, line_.size());
  line_.append(piece.substr(0, std::min(piece.size(), room)));
  const char before_last = piece.size() > 1 ? piece[piece.size() - 2] : last_;
  last_ = piece.back();
  if (!ended) return {State::kMore, piece.size()};

  done_ = true;
  if (before_last != '\r') return {State::kBareLf, piece.size()};
  if (too_long_) return {State::kTooLong, piece.size()};
  line_.resize(line_.size() - 2);
  return {State::kLine, piece.size()};
}

void LineReader::wipe() {
  line_.resize(line_.capacity());
  explicit_bzero(line_.data(), line_.size());
  line_.clear();
  done_ = true;
}

}  // namespace smtp
