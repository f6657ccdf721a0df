// A picture of a run: latency and throughput over time, as SVG without scripts or fonts. Pure.
#pragma once

#include <string>

#include "relaybench/tally.h"

namespace relaybench {

std::string plot_svg(const Tally& tally, const std::string& title);

}  // namespace relaybench
