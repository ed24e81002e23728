#!/usr/bin/env bash
# Free Spoken Digit Dataset: real speakers for a recogniser that has only heard synthetic speech. A head per speaker,
# trained jointly; a held-out speaker onboarded onto a controller that never heard it; one exported file alone.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stage=0
stop_stage=6
corpus=
corpus_url=https://github.com/Jakobovski/free-spoken-digit-dataset
backbone=../accents/backbone
data=data
exp=exp
conf=conf
held_out=theo
more_searches=modified_beam_search
seeds="42 1 2"
num_jobs=2
results=

help_message="Usage: recipes/fsdd/run.sh [options]

Adapts an English recogniser to the speakers of the Free Spoken Digit Dataset. Needs hra and python on the PATH, and
git to get the data set. Paths are relative to recipes/fsdd.

  --stage N, --stop-stage N  the first and the last stage to run (default: $stage, $stop_stage)
       0 get the corpus             1 prepare features           2 decode with the frozen model
       3 train all speakers jointly 4 decode with the heads      5 onboard a held-out speaker
       6 export its head, decode from the file alone
     Comparisons, when asked for; together they take hours:
       7 make connected digits      8 every method on them       9 the same, 20 utterances a speaker
      10 HRA without its parts     11 adapters and LoRA at other sizes
      12 some methods for the same time                         13 every method on single digits
      14 some methods for the same time, 20 utterances a speaker
      15 each speaker held out in turn and learned from 0, 5 and 20 utterances
  --corpus DIR               a clone of free-spoken-digit-dataset (default: stage 0 makes one below --data)
  --corpus-url URL           where stage 0 clones it from (default: $corpus_url)
  --backbone DIR             the recogniser: checkpoint and bpe.model (default: $backbone)
  --data DIR, --exp DIR      where to put data and results (default: $data, $exp)
  --conf DIR                 options of hra train and hra compare, a file for each (default: $conf)
  --held-out SPEAKER         the speaker of stages 5 and 6 (default: $held_out)
  --more-searches 'NAME ...' what stage 4 decodes with besides greedy_search (default: $more_searches);
                             fast_beam_search needs k2
  --seeds 'N ...'            of training; joint training is repeated with each, the first is that of the rest
                             (default: $seeds)
  --num-jobs N               processes that prepare data, and cells trained at a time (default: $num_jobs)
  --results FILE             the tables of this run (default: RESULTS.md below --exp)"

. ../utils/parse_options.sh
. ../utils/stages.sh

digits=$data/digits
seed=${seeds%% *}
every_seed=${seeds// /,}

if in_range 0 && [[ -z "$corpus" && ! -d "$data/free-spoken-digit-dataset" ]]; then
  log "Stage 0: clone $corpus_url"
  instead="or give the folder of a clone with --corpus DIR"
  command -v git >/dev/null || fail "git is missing; install it, $instead"
  mkdir -p "$data"
  unfinished=$data/.free-spoken-digit-dataset
  rm -rf "$unfinished"
  # Without a terminal to ask for a password git says at once what is wrong.
  message=$(GIT_TERMINAL_PROMPT=0 git clone --quiet --depth 1 "$corpus_url" "$unfinished" 2>&1) ||
    fail "cannot clone $corpus_url (${message##*$'\n'}); try again, $instead"
  mv "$unfinished" "$data/free-spoken-digit-dataset"
fi

if in_range 1; then
  log "Stage 1: prepare features, one task per speaker"
  hra prepare fsdd "${corpus:-$data/free-spoken-digit-dataset}" --output-dir "$digits" --backbone "$backbone" \
    --num-jobs "$num_jobs"
fi

if in_range 2; then
  log "Stage 2: decode the test set with the frozen model"
  hra decode --backbone "$backbone" --data "$digits" --no-heads --output-dir "$exp/frozen" --json "$exp/frozen/wer.json"
fi

if in_range 3; then
  for one in $seeds; do
    log "Stage 3: train the controller and a head for every speaker, seed $one"
    read_conf "$conf/train.conf" "hra train"
    hra train --backbone "$backbone" --data "$digits" --exp-dir "$exp/joint-$one" --seed "$one" --resume \
      "${from_conf[@]}"
  done
fi

if in_range 4; then
  for one in $seeds; do
    for method in greedy_search $more_searches; do
      log "Stage 4: decode the test set with the heads, seed $one, $method"
      hra decode --backbone "$backbone" --data "$digits" --exp-dir "$exp/joint-$one" --decoding-method "$method" \
        --json "$exp/joint-$one/$method/wer.json"
    done
  done
fi

if in_range 5; then
  log "Stage 5: train a controller on the other speakers, then a head for $held_out on it"
  [[ -d "$digits/cuts/$held_out" ]] || fail "no speaker '$held_out' in $digits/cuts"
  others=()
  for folder in "$digits"/cuts/*/; do
    speaker=$(basename "$folder")
    [[ "$speaker" == "$held_out" ]] || others+=(--task "$speaker")
  done
  read_conf "$conf/train.conf" "hra train"
  hra train --backbone "$backbone" --data "$digits" --exp-dir "$exp/without-$held_out" --seed "$seed" --resume \
    "${others[@]}" "${from_conf[@]}"
  read_conf "$conf/onboard.conf" "hra train"
  hra train --backbone "$backbone" --data "$digits" --exp-dir "$exp/onboard-$held_out" --seed "$seed" --resume \
    --task "$held_out" --controller "$exp/without-$held_out/controller.safetensors" "${from_conf[@]}"
  hra decode --backbone "$backbone" --data "$digits" --exp-dir "$exp/onboard-$held_out" --task "$held_out" \
    --json "$exp/onboard-$held_out/wer.json"
fi

if in_range 6; then
  log "Stage 6: export $held_out's head and decode from the file alone"
  hra export-head --exp-dir "$exp/onboard-$held_out" --task "$held_out" --output "$exp/$held_out.safetensors"
  hra decode --backbone "$backbone" --data "$digits" --head "$exp/$held_out.safetensors" --task "$held_out" \
    --output-dir "$exp/exported" --json "$exp/exported/wer.json"
fi

if in_range 7; then
  log "Stage 7: connected digits: 3 to 5 recordings of a speaker with silence between; all, and 20 to train on, the rest to test on"
  python local/connected_digits.py "$digits" "$data/connected/made"
  python local/connected_digits.py "$digits" "$data/connected-20/made" --train-per-speaker 20
  for connected in "$data/connected" "$data/connected-20"; do
    hra prepare cuts "$connected/made/cuts.jsonl.gz" --task-by speaker --split-by custom.split \
      --output-dir "$connected" --backbone "$backbone" --num-jobs "$num_jobs"
  done
fi

# One comparison: its stage, its name, the data below $data, the seeds, and the file in $conf that says what is compared.
compare() {
  if in_range "$1"; then
    log "Stage $1: compare, $2"
    read_conf "$conf/$5" "hra compare"
    hra compare --backbone "$backbone" --data "$data/$3" --exp-dir "$exp/compare-$2" --seeds "$4" \
      --num-jobs "$num_jobs" "${from_conf[@]}"
  fi
}

#     stage name          data          seeds          conf
compare  8  connected     connected     "$seed"        connected.conf
compare  9  connected-20  connected-20  "$every_seed"  connected-20.conf
compare 10  ablations     connected-20  "$every_seed"  ablations.conf
compare 11  sizes         connected     "$seed"        sizes.conf
compare 12  same-time     connected     "$seed"        same-time.conf
compare 13  single-digits digits        "$seed"        single-digits.conf
compare 14  same-time-20  connected-20  "$every_seed"  same-time.conf
compare 15  few-shots     connected-20  "$every_seed"  few-shots.conf

python ../utils/results.py "$exp" frozen 'joint-*/*_search' 'onboard-*' exported --title "FSDD: a head per speaker" \
  --output "${results:-$exp/RESULTS.md}"
