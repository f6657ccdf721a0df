# For scripts that go in steps: `step NAME COMMAND...` runs a command with its output in a log, says
# how long it took, and on failure shows the log's end and stops. Sourced by scripts/test and
# scripts/demo; expects bash.

steps_log=$(mktemp -d "${TMPDIR:-/tmp}/relayd-steps-XXXXXX")
steps_started=$SECONDS

step() {  # NAME COMMAND...
  local name=$1 started=$SECONDS log
  shift
  log="$steps_log/${name//[^a-z0-9]/-}.log"
  printf '%-44s ' "$name"
  if "$@" >"$log" 2>&1; then
    printf 'ok    %4d s\n' $((SECONDS - started))
  else
    local code=$?
    printf 'FAILED after %d s (exit %d); the end of %s:\n' $((SECONDS - started)) "$code" "$log"
    tail -n "${STEP_TAIL:-60}" "$log"
    exit 1
  fi
}

# The same with the output shown as it comes, for steps whose output is what one wants to see.
step_shown() {  # NAME COMMAND...
  local name=$1 started=$SECONDS
  shift
  printf -- '--- %s\n' "$name"
  if "$@"; then
    printf '%-44s ok    %4d s\n' "$name" $((SECONDS - started))
  else
    printf '%-44s FAILED after %d s\n' "$name" $((SECONDS - started))
    exit 1
  fi
}

# `behind NAME COMMAND...` starts a step that runs beside those that follow, at the lowest priority;
# `step_behind NAME` waits for it and shows it as a step, `step_behind_shown NAME` with its output.
# What still runs when the script ends is stopped.
declare -A behind_pid=()
behind() {  # NAME COMMAND...
  local name=$1
  shift
  setsid nice -n 19 bash -c '"$@"' "$name" "$@" >"$steps_log/${name//[^a-z0-9]/-}.behind" 2>&1 &
  behind_pid[$name]=$!
}
stop_behind() {
  local pid
  for pid in "${behind_pid[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || :; done
}
trap stop_behind EXIT

step_behind() {  # NAME
  step "$1" collect "${behind_pid[$1]}" "$steps_log/${1//[^a-z0-9]/-}.behind"
  unset "behind_pid[$1]"
}
step_behind_shown() {  # NAME
  step_shown "$1" collect "${behind_pid[$1]}" "$steps_log/${1//[^a-z0-9]/-}.behind"
  unset "behind_pid[$1]"
}
collect() {  # PID OUTPUT
  local code=0
  wait "$1" || code=$?
  cat "$2"
  return $code
}
