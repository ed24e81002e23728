#!/usr/bin/env bash
# Many tasks: 128 synthetic speakers with atypical traits, 20 utterances each, and what methods cost and give with 8, 32
# and 128 of them. Everything is in this repository or made by it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stage=0
stop_stage=4
speakers=128
counts="8 32 128"
known=64
held_out=32
train=20
dev=4
test=10
data=data
exp=exp
backbone=../accents/backbone
conf=conf
seeds=42
num_jobs=2
seed=42
results=

help_message="Usage: recipes/voices/run.sh [options]

Makes speech of synthetic speakers with atypical traits (accent, slow, pauses within words, another vocal tract, slurred,
breathy, tremulous, monotone), and trains one small set of parameters for each of them jointly, by HRA and by other
methods. Needs hra and python on the PATH, and the package espeakng-loader (pip install -e '.[accents]'). The comparisons take most
of two hours on two cores.

  --stage N, --stop-stage N  the first and the last stage to run (default: $stage, $stop_stage)
       0 synthesise speech   1 prepare features, one task per speaker
       2 decode with the frozen model
       3 compare methods, with more and more speakers
       4 one table of all
     When asked for:
       5 hold speakers out, and learn them from 0, 5 and 20 utterances; takes hours
  --speakers N               how many there are (default: $speakers)
  --known N, --held-out N    stage 5 learns what speakers have in common from so many of the first, and holds out the next
                             (default: $known, $held_out)
  --counts 'N ...'           with how many stage 3 compares, each the first so many; the options of hra compare are in
                             N.conf (default: $counts)
  --train N, --dev N, --test N
                             utterances of each (default: $train, $dev, $test)
  --data DIR, --exp DIR      where to put data and results (default: $data, $exp in this folder)
  --backbone DIR             the recogniser (default: $backbone)
  --conf DIR                 options of hra compare, a file for each count (default: $conf)
  --seeds 'N ...'            of training (default: $seeds)
  --num-jobs N               processes that prepare data, and cells trained at a time (default: $num_jobs)
  --seed N                   of the data (default: $seed)
  --results FILE             the tables of this run (default: RESULTS.md below --exp)"

. ../utils/parse_options.sh
. ../utils/stages.sh

for one in $speakers $counts $known $held_out; do
  [[ "$one" =~ ^[1-9][0-9]{0,2}$ ]] ||
    fail "--speakers, --counts, --known and --held-out are numbers from 1 to 999, not '$one'"
done

if in_range 0; then
  log "Stage 0: synthesise $speakers speakers"
  python local/synthesise_voices.py --output-dir "$data/speech" --speakers "$speakers" --train "$train" --dev "$dev" \
    --test "$test" --num-jobs "$num_jobs" --seed "$seed"
fi

if in_range 1; then
  log "Stage 1: prepare features, one task per speaker"
  hra prepare cuts "$data/speech/cuts.jsonl.gz" --task-by speaker --split-by custom.split \
    --output-dir "$data/voices" --backbone "$backbone" --num-jobs "$num_jobs"
fi

if in_range 2; then
  log "Stage 2: decode the test set with the frozen model"
  hra decode --backbone "$backbone" --data "$data/voices" --split test --no-heads \
    --output-dir "$exp/frozen" --json "$exp/frozen/wer.json"
fi

# The option $1 for each of the speakers from $2 to $3, the first being 0.
for_speakers() {
  local number
  for ((number = $2; number <= $3; number++)); do
    printf -- '%s voice-%03d ' "$1" "$number"
  done
}

# Compares into $exp/compare-$1 with the options in $conf/$1.conf, which are for $2; the rest are options, too.
compare() {
  local name=$1 what=$2
  shift 2
  read_conf "$conf/$name.conf" "hra compare for $what"
  hra compare --backbone "$backbone" --data "$data/voices" --exp-dir "$exp/compare-$name" --seeds "${seeds// /,}" \
    --num-jobs "$num_jobs" "$@" "${from_conf[@]}"
}

if in_range 3; then
  for count in $counts; do
    log "Stage 3: compare methods, $count speakers"
    [[ $count -le $speakers ]] || fail "there are $speakers speakers, and --counts asks for $count"
    # shellcheck disable=SC2046 - a list of options
    compare "$count" "$count speakers" $(for_speakers --task 0 $((count - 1)))
  done
fi

if in_range 4; then
  log "Stage 4: one table"
  compared=()
  for file in "$exp"/compare-[0-9]*/comparison.json; do
    [[ ! -f "$file" ]] || compared+=("$(dirname "$file")")
  done
  python local/over_tasks.py "${compared[@]}" --frozen "$exp/frozen/wer.json" --output "$exp/speakers/table.md"
fi

if in_range 5; then
  log "Stage 5: hold out speakers, and learn them from few utterances"
  together=$((known + held_out))
  [[ $together -le $speakers ]] || fail "there are $speakers speakers, and --known and --held-out ask for $together"
  # shellcheck disable=SC2046 - lists of options
  compare few-shots "few utterances" $(for_speakers --task 0 $((together - 1))) \
    $(for_speakers --held-out "$known" $((together - 1)))
fi

python ../utils/results.py "$exp" --title "Voices: many tasks" --output "${results:-$exp/RESULTS.md}"
