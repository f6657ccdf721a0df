#include "relayd/egress/rates.h"

namespace egress {
namespace {

constexpr std::int64_t kSlots = 60;

}  // namespace

void SlidingWindow::forget(std::int64_t now_ms) {
  const std::int64_t oldest = now_ms / slot_ms_ - kSlots;
  while (!slots_.empty() && slots_.front().number < oldest) {
    total_ -= slots_.front().count;
    slots_.pop_front();
  }
}

void SlidingWindow::add(std::uint64_t count, std::int64_t now_ms) {
  forget(now_ms);
  const std::int64_t number = now_ms / slot_ms_;
  if (slots_.empty() || slots_.back().number != number) slots_.push_back({number, 0});
  slots_.back().count += count;
  total_ += count;
}

std::int64_t SlidingWindow::free_at_ms(std::uint64_t most, std::int64_t now_ms) {
  forget(now_ms);
  std::uint64_t left = total_;
  std::int64_t at_ms = now_ms;
  for (const Slot& slot : slots_) {
    if (left < most) break;
    left -= slot.count;
    at_ms = (slot.number + kSlots + 1) * slot_ms_;
  }
  return at_ms;
}

Rates::Wait Rates::wait(const policy::Smarthost& smarthost, std::int64_t now_ms) {
  Wait longest;
  const auto look = [&](SlidingWindow& window, unsigned most, const char* unit) {
    if (most == 0) return;
    const std::int64_t for_ms = window.free_at_ms(most, now_ms) - now_ms;
    if (for_ms > longest.for_ms) longest = {for_ms, std::to_string(most) + unit};
  };
  look(minute_, smarthost.messages_per_minute, " messages a minute");
  look(day_, smarthost.messages_per_day, " messages a day");
  look(day_recipients_, smarthost.recipients_per_day, " recipients a day");
  return longest;
}

void Rates::message(std::int64_t now_ms) {
  minute_.add(1, now_ms);
  day_.add(1, now_ms);
}

}  // namespace egress
