#!/usr/bin/env bash
# Free Spoken Digit Dataset: real speakers for a recogniser that has only heard synthetic speech. A head per speaker,
# trained jointly; a held-out speaker onboarded onto a controller that never heard it; one exported file alone.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stage=0
stop_stage=100
corpus=../../../shared/data/fsdd
backbone=../../../shared/models/zipformer-tts-en
data=data
exp=exp
held_out=theo
train_conf=conf/train.conf
onboard_conf=conf/onboard.conf
num_jobs=2
more_searches="modified_beam_search fast_beam_search"
seeds="42 1 2"
methods=full,hra-linear,hra-ffn,residual-adapters,lora,bitfit
ablations=hra-linear,hra-no-recurrence,hra-apart,hra-controller-per-layer,hra-head-per-layer
compare_conf=conf/compare.conf
compare_20_conf=conf/compare-20.conf
same_time_conf=conf/same-time.conf
single_digits_conf=conf/single-digits.conf
same_time=full,hra-linear,hra-linear:128,hra-ffn,residual-adapters:64,lora:16,bitfit
sizes=residual-adapters:2,residual-adapters:8,residual-adapters:64,lora:1,lora:2,lora:4,lora:16
results=RESULTS.md

help_message="Usage: recipes/fsdd/run.sh [options]

Adapts an English recogniser to the speakers of FSDD. Needs hra and python on the PATH.

  --stage N, --stop-stage N  the first and the last stage to run (default: all)
       0 prepare features          1 decode with the frozen model   2 train all speakers jointly
       3 decode with the heads     4 onboard a held-out speaker     5 export, decode from the file alone
       6 make connected digits          7 compare methods on them      8 the same, 20 utterances a speaker
       9 HRA without its parts         10 adapters and LoRA at other sizes
       11 every method for the same time                                12 every method on single digits
       13 20 utterances a speaker, every method for the same time        14 write the tables
  --corpus DIR               a clone of free-spoken-digit-dataset (default: $corpus)
  --backbone DIR             the recogniser: checkpoint and bpe.model (default: $backbone)
  --data DIR, --exp DIR      where to put data and results (default: $data, $exp in this folder)
  --held-out SPEAKER         the speaker of stage 4 (default: $held_out)
  --train-conf FILE, --onboard-conf FILE  options of hra train (default: $train_conf, $onboard_conf)
  --compare-conf FILE, --compare-20-conf FILE, --single-digits-conf FILE, --same-time-conf FILE
                             options of hra compare (default: $compare_conf, $compare_20_conf, $single_digits_conf,
                             $same_time_conf)
  --methods LIST, --ablations LIST, --sizes LIST, --same-time LIST
                             what stages 7, 8 and 12, 9, 10, and 11 and 13 compare
  --more-searches 'NAME ...' what stage 3 decodes with besides greedy_search; fast_beam_search needs k2
                             (default: $more_searches)
  --num-jobs N               processes that prepare data, and cells trained at a time (default: $num_jobs)
  --seeds 'N ...'            of training; joint training is repeated with each, the first is that of the rest
                             (default: $seeds)
  --results FILE             the table to write (default: $results)"

command_line="${OMP_NUM_THREADS:+OMP_NUM_THREADS=$OMP_NUM_THREADS }recipes/fsdd/run.sh${*:+ $*}"
. ../utils/parse_options.sh
. ../utils/stages.sh

if in_range 0; then
  log "Stage 0: prepare features, one task per speaker"
  hra prepare fsdd "$corpus" --output-dir "$data" --backbone "$backbone" --num-jobs "$num_jobs"
fi

if in_range 1; then
  log "Stage 1: decode the test set with the frozen model"
  hra decode --backbone "$backbone" --data "$data" --no-heads --output-dir "$exp/frozen" --json "$exp/frozen/wer.json"
fi

seed=${seeds%% *}

if in_range 2; then
  for one in $seeds; do
    log "Stage 2: train the controller and a head for every speaker, seed $one"
    # shellcheck disable=SC2046 - a conf file is a list of options
    hra train --backbone "$backbone" --data "$data" --exp-dir "$exp/joint-$one" --seed "$one" --resume \
      $(cat "$train_conf")
  done
fi

if in_range 3; then
  for one in $seeds; do
    for method in greedy_search $more_searches; do
      log "Stage 3: decode the test set with the heads, seed $one, $method"
      hra decode --backbone "$backbone" --data "$data" --exp-dir "$exp/joint-$one" --decoding-method "$method" \
        --json "$exp/joint-$one/$method/wer.json"
    done
  done
fi

if in_range 4; then
  others=$(python local/speakers.py "$data" --without "$held_out")
  log "Stage 4: train a controller on $others, then a head for $held_out on it"
  tasks=()
  for speaker in $others; do
    tasks+=(--task "$speaker")
  done
  # shellcheck disable=SC2046
  hra train --backbone "$backbone" --data "$data" --exp-dir "$exp/without-$held_out" --seed "$seed" --resume \
    "${tasks[@]}" $(cat "$train_conf")
  # shellcheck disable=SC2046
  hra train --backbone "$backbone" --data "$data" --exp-dir "$exp/onboard-$held_out" --seed "$seed" --resume \
    --task "$held_out" --controller "$exp/without-$held_out/controller.safetensors" $(cat "$onboard_conf")
  hra decode --backbone "$backbone" --data "$data" --exp-dir "$exp/onboard-$held_out" --task "$held_out" \
    --json "$exp/onboard-$held_out/wer.json"
fi

if in_range 5; then
  log "Stage 5: export $held_out's head and decode from the file alone"
  hra export-head --exp-dir "$exp/onboard-$held_out" --task "$held_out" --output "$exp/$held_out.safetensors"
  hra decode --backbone "$backbone" --data "$data" --head "$exp/$held_out.safetensors" --task "$held_out" \
    --output-dir "$exp/exported" --json "$exp/exported/wer.json"
fi

if in_range 6; then
  log "Stage 6: connected digits: 3 to 5 recordings of a speaker with silence between; all, and 20 to train on, the rest to test on"
  python local/connected_digits.py "$data" "$data-connected/made"
  python local/connected_digits.py "$data" "$data-connected-20/made" --train-per-speaker 20
  for connected in "$data-connected" "$data-connected-20"; do
    hra prepare cuts "$connected/made/cuts.jsonl.gz" --task-by speaker --split-by custom.split \
      --output-dir "$connected" --backbone "$backbone" --num-jobs "$num_jobs"
  done
fi

if in_range 7; then
  log "Stage 7: every method, a model for each speaker and one for all"
  # shellcheck disable=SC2046
  hra compare --backbone "$backbone" --data "$data-connected" --exp-dir "$exp/compare-connected" \
    --methods "$methods" --num-jobs "$num_jobs" --seeds "$seed" $(cat "$compare_conf")
fi

if in_range 8; then
  log "Stage 8: the same with 20 utterances a speaker"
  # shellcheck disable=SC2046
  hra compare --backbone "$backbone" --data "$data-connected-20" --exp-dir "$exp/compare-connected-20" \
    --methods "$methods" --num-jobs "$num_jobs" --seeds "${seeds// /,}" $(cat "$compare_20_conf")
fi

if in_range 9; then
  log "Stage 9: HRA without its parts"
  # shellcheck disable=SC2046
  hra compare --backbone "$backbone" --data "$data-connected-20" --exp-dir "$exp/compare-ablations" \
    --methods "$ablations" --modes multi --num-jobs "$num_jobs" --seeds "${seeds// /,}" --lrs 0.008 \
    $(cat "$compare_20_conf")
fi

if in_range 10; then
  log "Stage 10: adapters and LoRA at other sizes"
  # shellcheck disable=SC2046
  hra compare --backbone "$backbone" --data "$data-connected" --exp-dir "$exp/compare-sizes" \
    --methods "$sizes" --modes multi --num-jobs "$num_jobs" --seeds "$seed" --lrs 0.003,0.01 $(cat "$compare_conf")
fi

if in_range 11; then
  log "Stage 11: every method for the same time"
  # shellcheck disable=SC2046
  hra compare --backbone "$backbone" --data "$data-connected" --exp-dir "$exp/compare-same-time" \
    --methods "$same_time" --modes multi --num-jobs "$num_jobs" --seeds "$seed" $(cat "$same_time_conf")
fi

if in_range 12; then
  log "Stage 12: every method on single digits, one model for all speakers"
  # shellcheck disable=SC2046
  hra compare --backbone "$backbone" --data "$data" --exp-dir "$exp/compare-single-digits" --methods "$methods" \
    --modes multi --num-jobs "$num_jobs" --seeds "$seed" $(cat "$single_digits_conf")
fi

if in_range 13; then
  log "Stage 13: every method for the same time, 20 utterances a speaker"
  # shellcheck disable=SC2046
  hra compare --backbone "$backbone" --data "$data-connected-20" --exp-dir "$exp/compare-same-time-20" \
    --methods "$same_time" --modes multi --num-jobs "$num_jobs" --seeds "${seeds// /,}" $(cat "$same_time_conf")
fi

if in_range 14; then
  log "Stage 14: write $results"
  python local/results.py "$exp" --data "$data" --held-out "$held_out" --seeds "$seeds" --command "$command_line" \
    --more-searches "$more_searches" --train-conf "$train_conf" --onboard-conf "$onboard_conf" --output "$results"
fi
