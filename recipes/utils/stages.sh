# What every run.sh does with its stages; source it after parse_options.sh.

if [[ $# -gt 0 ]]; then
  echo "$0: error: unexpected argument '$1'; see $0 --help" >&2
  exit 2
fi

log() {
  echo "$(date '+%Y-%m-%d %H:%M:%S') $*"
}

# Whether stage $1 is to run.
in_range() {
  [[ $stage -le $1 && $stop_stage -ge $1 ]]
}

# Results are kept as well, in log/; progress bars and errors are on standard error and go to the terminal only.
[[ -t 1 ]] && COLUMNS=$(tput cols) && export COLUMNS
mkdir -p log
exec > >(tee -a "log/run.$(date '+%Y-%m-%d-%H-%M-%S').log")
tee_pid=$!
trap 'exec >&-; wait "$tee_pid"' EXIT
