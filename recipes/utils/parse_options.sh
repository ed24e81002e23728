# Sets a script's variables from its command line, as Kaldi's file of this name does. Source it after the defaults:
#
#   nj=4; help_message="..."
#   . utils/parse_options.sh
#
# --num-jobs 4 and --num-jobs=4 both set num_jobs, which must have a value already, be it an empty one: it is how an
# option is known. --help prints $help_message. Parsing stops at -- and at the first word that is no option; what is
# left is in "$@". A mistake is one line on standard error and exit code 2. $COMMAND_LINE is how the script was called.

COMMAND_LINE="$0${*:+$(printf ' %q' "$@")}"

while [[ "${1:-}" == --* ]]; do
  if [[ "$1" == "--" ]]; then
    shift
    break
  fi
  if [[ "$1" == "--help" ]]; then
    printf '%s\n' "${help_message:-$0 has no help message}"
    exit 0
  fi
  parse_options_name="${1%%=*}"
  parse_options_name="${parse_options_name#--}"
  parse_options_name="${parse_options_name//-/_}"
  # Lower case only, so that no option sets PATH or HOME.
  if [[ ! "$parse_options_name" =~ ^[a-z][a-z0-9_]*$ || -z "${!parse_options_name+set}" ]]; then
    echo "$0: error: unknown option ${1%%=*}; see $0 --help" >&2
    exit 2
  fi
  if [[ "$1" == *=* ]]; then
    printf -v "$parse_options_name" '%s' "${1#*=}"
    shift
  elif [[ $# -ge 2 ]]; then
    printf -v "$parse_options_name" '%s' "$2"
    shift 2
  else
    echo "$0: error: option $1 needs a value; see $0 --help" >&2
    exit 2
  fi
done
unset parse_options_name
