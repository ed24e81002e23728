#!/usr/bin/env bash
# Six accents, one frozen recogniser, one small head per accent. Everything is in this folder or made by it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stage=0
stop_stage=6
voices=fr,it,de,sv,cs,en-029
data=data
exp=exp
backbone=backbone
num_epochs=10
max_duration=50
compare_conf=conf/compare.conf
num_jobs=2
seed=42
results=

help_message="Usage: recipes/accents/run.sh [options]

Adapts the small English recogniser in backbone/ to accents, one head for each, and compares it with itself frozen.
Needs hra and python on the PATH, and the package espeakng-loader (pip install -e '.[accents]').

  --stage N, --stop-stage N  the first and the last stage to run (default: $stage, $stop_stage)
       0 synthesise speech   1 prepare features   2 decode with the frozen model   3 train
       4 decode with heads   5 export the heads   6 compare with the frozen model
       7 compare with other methods (about half an hour)
  --voices LIST              eSpeak NG voices, one accent each (default: $voices)
  --data DIR, --exp DIR      where to put data and results (default: $data, $exp in this folder)
  --backbone DIR             the recogniser (default: $backbone)
  --num-epochs N             passes over the training data (default: $num_epochs)
  --max-duration SECONDS     audio in a batch (default: $max_duration)
  --compare-conf FILE        options of hra compare (default: $compare_conf)
  --num-jobs N               processes that prepare data, and cells trained at a time (default: $num_jobs)
  --seed N                   of the data and of training (default: $seed)
  --results FILE             the tables of this run (default: RESULTS.md below --exp)"

. ../utils/parse_options.sh
. ../utils/stages.sh

if in_range 0; then
  log "Stage 0: synthesise accented speech"
  python local/synthesise.py --output-dir "$data/speech" --voices "$voices" --num-jobs "$num_jobs" --seed "$seed"
fi

if in_range 1; then
  log "Stage 1: prepare features, one task per accent"
  hra prepare cuts "$data/speech/cuts.jsonl.gz" --task-by custom.accent --split-by custom.split \
    --output-dir "$data/accents" --backbone "$backbone" --num-jobs "$num_jobs"
fi

if in_range 2; then
  log "Stage 2: decode the test set with the frozen model"
  hra decode --backbone "$backbone" --data "$data/accents" --split test --no-heads \
    --output-dir "$exp/frozen" --json "$exp/frozen/wer.json"
fi

if in_range 3; then
  log "Stage 3: train the controller and a head for every accent"
  hra train --backbone "$backbone" --data "$data/accents" --exp-dir "$exp/hra" \
    --num-epochs "$num_epochs" --max-duration "$max_duration" --rnnt-type modified --seed "$seed" --resume
fi

if in_range 4; then
  log "Stage 4: decode the test set with the heads"
  hra decode --backbone "$backbone" --data "$data/accents" --split test --exp-dir "$exp/hra" \
    --output-dir "$exp/hra/decode" --json "$exp/hra/decode/wer.json"
fi

if in_range 5; then
  log "Stage 5: export every head to a file of its own"
  for voice in ${voices//,/ }; do
    hra export-head --exp-dir "$exp/hra" --task "$voice" --output "$exp/heads/$voice.safetensors"
  done
fi

if in_range 6; then
  log "Stage 6: compare with the frozen model"
  python local/summarise.py --frozen "$exp/frozen/wer.json" --adapted "$exp/hra/decode/wer.json" \
    --heads-dir "$exp/heads"
  first="${voices%%,*}"
  echo "Recognise a recording with one of the heads, here from $PWD:"
  echo "  hra decode --backbone $backbone --head $exp/heads/$first.safetensors $data/speech/wav/$first/$first-test-0000.wav"
fi

if in_range 7; then
  log "Stage 7: compare with other methods"
  read_conf "$compare_conf" "hra compare"
  hra compare --backbone "$backbone" --data "$data/accents" --exp-dir "$exp/compare" \
    --num-jobs "$num_jobs" --seeds "$seed" "${from_conf[@]}"
fi

python ../utils/results.py "$exp" frozen hra/decode --title "Accents: a head per accent" \
  --output "${results:-$exp/RESULTS.md}"
