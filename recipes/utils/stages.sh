# What every run.sh does with its stages; source it after parse_options.sh. Needs $exp.

# Ends the run for a reason that its user can mend: one line on standard error, exit code 2.
fail() {
  echo "$0: error: $*" >&2
  exit 2
}

if [[ $# -gt 0 ]]; then
  fail "unexpected argument '$1'; see $0 --help"
fi

# Stages beyond the default --stop-stage run when they are asked for.
if [[ $stage -gt $stop_stage ]]; then
  fail "--stage $stage is beyond --stop-stage $stop_stage, so nothing would run; give --stop-stage $stage, too"
fi

log() {
  echo "$(date '+%Y-%m-%d %H:%M:%S') $*"
}

# Whether stage $1 is to run.
in_range() {
  [[ $stage -le $1 && $stop_stage -ge $1 ]]
}

# The options in the file $1, separated by white space, as the array from_conf; $2 says whose they are.
read_conf() {
  [[ -f "$1" ]] || fail "no file $1; write the options of $2"
  read -r -d '' -a from_conf < "$1" || true # no NUL at its end
}

# What a run says is kept as well, in $exp/log; progress bars and errors are on standard error and go to the terminal
# only.
[[ -t 1 ]] && COLUMNS=$(tput cols) && export COLUMNS
mkdir -p "$exp/log"
# Tables are of all runs into $exp, and name each.
printf '%s\n' "$COMMAND_LINE" >> "$exp/log/commands"
exec > >(tee -a "$exp/log/run.$(date '+%Y-%m-%d-%H-%M-%S').log")
tee_pid=$!
trap 'exec >&-; wait "$tee_pid"' EXIT
