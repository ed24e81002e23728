#!/usr/bin/env bash
# speechocean762: children and adults whose first language is Mandarin, for a recogniser that has only heard synthetic
# speech. A few minutes to train on, many speakers, and nobody in the test set is trained on.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stage=0
stop_stage=6
corpus=
corpus_url=https://github.com/jimbozhang/speechocean762
backbone=../accents/backbone
all=false
ages=12
speaker_utterances=20
folds=4
data=data
exp=exp
conf=conf
seeds="42 1 2"
num_jobs=2
results=

help_message="Usage: recipes/speechocean762/run.sh [options]

Adapts an English recogniser to the speakers of speechocean762, by default to what they say in digits, which is what the
small recogniser knows. The speakers of its test set are never trained on. Needs hra and python on the PATH, and git
with git-lfs to get the corpus. Paths are relative to recipes/speechocean762.

  --stage N, --stop-stage N  the first and the last stage to run (default: $stage, $stop_stage)
       0 get the corpus             1 prepare everyone as one task
       2 decode with the frozen model
       3 train a head for everyone  4 decode with it
       5 a head for every band of ages
       6 a head for every test speaker with enough utterances, on the controller of stage 3
     Comparisons, when asked for; together they take hours:
       7 every method, one task     8 HRA at other sizes
       9 every method, tested on each training speaker in turn, and on the test set where stage 7 has run
  --corpus DIR               a folder with train/ and test/ (default: stage 0 makes one below --data)
  --corpus-url URL           where stage 0 clones it from (default: $corpus_url);
                             https://www.openslr.org/101 has the same as an archive, for --corpus
  --backbone DIR             the recogniser: checkpoint and tokenizer, or hf://OWNER/NAME (default: $backbone)
  --all true                 all utterances, not digits only; with a recogniser that knows such words, of icefall's for
                             example hf://Zengwei/icefall-asr-librispeech-zipformer-2023-05-15, or the small one,
                             hf://Zengwei/icefall-asr-librispeech-zipformer-small-2023-05-16
  --ages N,N                 the highest age of each band but the last (default: $ages, children and all others); a band
                             with less than 10 utterances to train on, or none to test on, is left out
  --speaker-utterances N     that a test speaker must have for stage 6 (default: $speaker_utterances, which everyone has
                             with --all true, and nobody in digits)
  --folds N                  of the training speakers in stage 9 (default: $folds)
  --data DIR, --exp DIR      where to put data and results (default: $data, $exp)
  --conf DIR                 options of hra train and hra compare, a file for each (default: $conf)
  --seeds 'N ...'            of training; stages 3 to 5 are repeated with each, the first is that of the rest
                             (default: $seeds)
  --num-jobs N               processes that prepare data, and cells trained at a time (default: $num_jobs)
  --results FILE             the tables of this run (default: RESULTS.md below --exp)"

. ../utils/parse_options.sh
. ../utils/stages.sh

seed=${seeds%% *}
every_seed=${seeds// /,}
used=()
case "$all" in
  false) ;;
  true)
    used=(--all)
    [[ "$backbone" != ../accents/backbone ]] ||
      fail "the recogniser in $backbone knows digits and commands only; give another with --backbone, see --help"
    ;;
  *) fail "--all is true or false, not '$all'" ;;
esac
[[ "$folds" =~ ^[1-9][0-9]*$ ]] || fail "--folds is a number, not '$folds'"

if in_range 0 && [[ -z "$corpus" && ! -d "$data/speechocean762" ]]; then
  log "Stage 0: clone $corpus_url"
  instead="or give the folder of the corpus with --corpus DIR"
  command -v git >/dev/null || fail "git is missing; install it, $instead"
  mkdir -p "$data"
  unfinished=$data/.speechocean762
  rm -rf "$unfinished"
  # Without a terminal to ask for a password git says at once what is wrong.
  message=$(GIT_TERMINAL_PROMPT=0 git clone --quiet --depth 1 "$corpus_url" "$unfinished" 2>&1) ||
    fail "cannot clone $corpus_url (${message##*$'\n'}); try again, $instead"
  # What git leaves in place of a large file where git-lfs is not installed.
  pointer=$(find "$unfinished" -iname '*.wav' -size -2k -exec grep -l '^version https://git-lfs' {} + | head -n 1 || true)
  if [[ -n "$pointer" ]]; then
    rm -rf "$unfinished"
    fail "git has fetched no audio: ${pointer##*/} is a pointer of git-lfs; install git-lfs and try again, $instead"
  fi
  mv "$unfinished" "$data/speechocean762"
fi
corpus=${corpus:-$data/speechocean762}

# Prepares the data below $data/$1; the rest are arguments of hra prepare kaldi.
prepare() {
  local name=$1
  shift
  hra prepare kaldi "$@" --output-dir "$data/$name" --backbone "$backbone" --num-jobs "$num_jobs"
}

# Prepares data whose tasks are in the table $1 and whose splits are the corpus's; dev is of other speakers than train.
prepare_corpus() {
  prepare "$1" train="$corpus/train" test="$corpus/test" --task-by "file:$data/tables/$1" \
    --dev-fraction 0.2 --split-speakers
}

# Decodes $data/$1 with the frozen model.
decode_frozen() {
  hra decode --backbone "$backbone" --data "$data/$1" --no-heads --output-dir "$exp/frozen-$1" \
    --json "$exp/frozen-$1/wer.json"
}

# Trains heads on $data/$1 with the seed $2; the rest are options of hra train.
train() {
  local name=$1 one=$2
  shift 2
  hra train --backbone "$backbone" --data "$data/$name" --exp-dir "$exp/$name-$one" --seed "$one" --resume "$@"
}

decode() {
  hra decode --backbone "$backbone" --data "$data/$1" --exp-dir "$exp/$1-$2" --json "$exp/$1-$2/wer.json"
}

if in_range 1; then
  log "Stage 1: prepare features, everyone is one task"
  python local/tables.py "$corpus" "$data/tables" --ages "$ages" --speaker-utterances "$speaker_utterances" \
    --folds "$folds" "${used[@]}"
  prepare_corpus everyone
fi

if in_range 2; then
  log "Stage 2: decode the test set with the frozen model"
  decode_frozen everyone
fi

if in_range 3; then
  for one in $seeds; do
    log "Stage 3: train the controller and a head for everyone, seed $one"
    read_conf "$conf/train.conf" "hra train"
    train everyone "$one" "${from_conf[@]}"
  done
fi

if in_range 4; then
  for one in $seeds; do
    log "Stage 4: decode the test set with the head, seed $one"
    decode everyone "$one"
  done
fi

# Whether the table $1 has tasks.
has_tasks() {
  [[ -f "$data/tables/$1" ]] || fail "$data/tables/$1 is missing; run stage 1"
  [[ -s "$data/tables/$1" ]]
}

if in_range 5; then
  if has_tasks bands; then
    log "Stage 5: a head for every band of ages"
    prepare_corpus bands
    decode_frozen bands
    for one in $seeds; do
      read_conf "$conf/train.conf" "hra train"
      train bands "$one" "${from_conf[@]}"
      decode bands "$one"
    done
  else
    log "Stage 5: no band of ages has enough utterances; see --ages"
  fi
fi

if in_range 6; then
  if has_tasks speakers; then
    log "Stage 6: a head for every test speaker, on the controller of the training speakers"
    # Of each speaker some are for training, some for dev, and the rest to test on.
    prepare speakers "$corpus/test" --task-by "file:$data/tables/speakers" --test-fraction 0.5 --dev-fraction 0.1
    decode_frozen speakers
    read_conf "$conf/onboard.conf" "hra train"
    train speakers "$seed" --controller "$exp/everyone-$seed/controller.safetensors" "${from_conf[@]}"
    decode speakers "$seed"
  else
    log "Stage 6: no test speaker has $speaker_utterances utterances; see --speaker-utterances"
  fi
fi

# A comparison into $exp/$1 on $data/$2, with the options in the file $3 of $conf.
compare() {
  read_conf "$conf/$3" "hra compare"
  hra compare --backbone "$backbone" --data "$data/$2" --exp-dir "$exp/$1" --seeds "$every_seed" \
    --num-jobs "$num_jobs" "${from_conf[@]}"
}

if in_range 7; then
  log "Stage 7: compare every method, everyone is one task"
  compare compare-methods everyone methods.conf
fi

if in_range 8; then
  log "Stage 8: compare sizes"
  compare compare-sizes everyone sizes.conf
fi

if in_range 9; then
  parts=()
  for fold in $(seq "$folds"); do
    log "Stage 9: compare every method, fold $fold of $folds of the training speakers is tested on"
    prepare "fold-$fold" "$corpus/train" --task-by constant:everyone --split-by "file:$data/tables/fold-$fold" \
      --dev-fraction 0.2 --split-speakers
    compare "folds/fold-$fold" "fold-$fold" methods.conf
    parts+=("$exp/folds/fold-$fold")
  done
  [[ ! -f "$exp/compare-methods/comparison.json" ]] || parts+=("$exp/compare-methods")
  python local/over_folds.py "${parts[@]}" --output "$exp/folds/table.md"
fi

python ../utils/results.py "$exp" frozen-everyone 'everyone-*' frozen-bands 'bands-*' frozen-speakers 'speakers-*' \
  --title "speechocean762: speakers never trained on" --output "${results:-$exp/RESULTS.md}"
