#include "relaybench/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>

#include "relaybench/report.h"

namespace relaybench {
namespace {

constexpr double kLeft = 80, kRight = 880;
constexpr double kLatencyTop = 60, kLatencyBottom = 320;
constexpr double kRateTop = 370, kRateBottom = 500;

struct Curve {
  const char* name;
  const char* colour;
  double share;
};
constexpr std::array<Curve, 3> kCurves = {
    {{"p50", "#1b7837", 0.5}, {"p99", "#2166ac", 0.99}, {"max", "#b2182b", 1.0}}};

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<' || c == '>' || c == '&' || c == '"') {
      out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string label(double x, double y, const std::string& text, const char* anchor,
                  const char* colour = "#333") {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor +
         "\" fill=\"" + colour + "\">" + escape(text) + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2) {
  return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) +
         "\" y2=\"" + number(y2) + "\" stroke=\"#ddd\"/>\n";
}

using Points = std::function<bool(std::size_t bin, double& x, double& y)>;

std::string polyline(std::size_t bins, const char* colour, const Points& point) {
  std::string out = "<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"";
  out += std::string(colour) + "\" points=\"";
  double x = 0;
  double y = 0;
  for (std::size_t i = 0; i < bins; ++i) {
    if (point(i, x, y)) out += number(x) + "," + number(y) + " ";
  }
  return out + "\"/>\n";
}

// The axis of latency is logarithmic: what matters lies decades apart.
class LogAxis {
 public:
  LogAxis(double low, double high)
      : low_(std::floor(std::log10(low))), high_(std::max(low_ + 1, std::ceil(std::log10(high)))) {}
  [[nodiscard]] double y(double value) const {
    const double share = (std::log10(std::max(value, 1.0)) - low_) / (high_ - low_);
    return kLatencyBottom - std::clamp(share, 0.0, 1.0) * (kLatencyBottom - kLatencyTop);
  }
  [[nodiscard]] std::string grid() const {
    std::string out;
    for (double decade = low_; decade <= high_; decade += 1) {
      const double us = std::pow(10, decade);
      out += line(kLeft, y(us), kRight, y(us));
      out += label(kLeft - 6, y(us) + 4, format_ms(static_cast<std::uint64_t>(us)) + " ms", "end");
    }
    return out;
  }

 private:
  double low_, high_;
};

}  // namespace

std::string plot_svg(const Tally& tally, const std::string& title) {
  const auto& bins = tally.timeline.bins();
  const double width_s = static_cast<double>(tally.timeline.width_us()) / 1e6;
  const double seconds = width_s * static_cast<double>(std::max<std::size_t>(bins.size(), 1));
  double slowest = 1;
  double fastest = 1e12;
  double rate_max = 1;
  for (const auto& bin : bins) {
    if (bin.latency.count() == 0) continue;
    slowest = std::max(slowest, static_cast<double>(bin.latency.max_us()));
    fastest = std::min(fastest, static_cast<double>(bin.latency.percentile_us(0.5)));
    rate_max = std::max(rate_max, static_cast<double>(bin.latency.count()) / width_s);
  }
  const LogAxis axis(std::clamp(fastest, 1.0, slowest), slowest);
  const auto x_of = [&](std::size_t bin) {
    return kLeft + (static_cast<double>(bin) + 0.5) * width_s / seconds * (kRight - kLeft);
  };

  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"920\" height=\"540\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  svg += label(kLeft, 24, "relaybench send to " + title + ": latency from MAIL to 250", "start");
  svg += axis.grid();
  double at = kRight;
  for (const Curve& curve : kCurves) {
    svg += polyline(bins.size(), curve.colour, [&](std::size_t i, double& x, double& y) {
      x = x_of(i);
      y = axis.y(static_cast<double>(bins[i].latency.percentile_us(curve.share)));
      return bins[i].latency.count() > 0;
    });
    svg += label(at, 44, curve.name, "end", curve.colour);
    at -= 40;
  }

  svg += label(kLeft, kRateTop - 12, "accepted (grey) and failed (red), messages/s", "start");
  for (const double share : {0.0, 0.5, 1.0}) {
    const double y = kRateBottom - share * (kRateBottom - kRateTop);
    svg += line(kLeft, y, kRight, y);
    svg += label(kLeft - 6, y + 4, std::to_string(std::llround(share * rate_max)), "end");
  }
  const auto rate_curve = [&](const char* colour, const std::function<double(std::size_t)>& count) {
    svg += polyline(bins.size(), colour, [&](std::size_t i, double& x, double& y) {
      x = x_of(i);
      const double share = std::min(count(i) / width_s / rate_max, 1.0);
      y = kRateBottom - share * (kRateBottom - kRateTop);
      return true;
    });
  };
  rate_curve("#666", [&](std::size_t i) { return static_cast<double>(bins[i].latency.count()); });
  rate_curve("#b2182b", [&](std::size_t i) { return static_cast<double>(bins[i].failed); });
  for (int tick = 0; tick <= 5; ++tick) {
    const double x = kLeft + tick * (kRight - kLeft) / 5;
    svg += label(x, kRateBottom + 20, number(seconds * tick / 5) + " s", "middle");
  }
  return svg + "</svg>\n";
}

}  // namespace relaybench
