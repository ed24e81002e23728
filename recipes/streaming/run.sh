#!/usr/bin/env bash
# Heads for a streaming recogniser: trained with chunks of many sizes, used chunk by chunk, and run by sherpa-onnx.

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
train_chunks=16,32,64,-1
train_left=64,128,256,-1
chunks="16:64 32:128 64:256"
used=32:128
num_jobs=2
seed=42
results=

help_message="Usage: recipes/streaming/run.sh [options]

Adapts the small streaming recogniser in backbone/ to accents: one head for each, which serves every chunk size. Decodes
whole utterances and streams, exports the recogniser and the heads to ONNX, and runs them with sherpa-onnx.
Needs hra and python on the PATH, and its extras: pip install -e '.[accents,export]'.

  --stage N, --stop-stage N  the first and the last stage to run (default: $stage, $stop_stage)
       0 synthesise speech   1 prepare features   2 train heads with random chunks
       3 decode whole utterances, masked as streams are
       4 decode streams, and hold them against the whole
       5 export to ONNX      6 decode with sherpa-onnx and compare
  --voices LIST              eSpeak NG voices, one accent each (default: $voices)
  --data DIR, --exp DIR      where to put data and results (default: $data, $exp in this folder)
  --backbone DIR             the recogniser, a causal one (default: $backbone)
  --num-epochs N             passes over the training data (default: $num_epochs)
  --max-duration SECONDS     audio in a batch (default: $max_duration)
  --train-chunks LIST, --train-left LIST
                             frames of 20 ms that training draws from (default: $train_chunks, $train_left)
  --chunks LIST              CHUNK:LEFT to decode with (default: '$chunks')
  --used CHUNK:LEFT          those that heads are chosen and exported for (default: $used)
  --num-jobs N               processes that prepare data (default: $num_jobs)
  --seed N                   of the data and of training (default: $seed)
  --results FILE             the tables of this run (default: RESULTS.md below --exp)"

. ../utils/parse_options.sh
. ../utils/stages.sh

# Options of hra for CHUNK:LEFT.
chunk_options() {
  echo "--chunk-size ${1%:*} --left-context-frames ${1#*:}"
}

# Decodes the test set into $exp/$1, frozen and with heads; the rest are options of hra decode.
decode() {
  local name=$1
  shift
  hra decode --backbone "$backbone" --data "$data/accents" --no-heads "$@" \
    --output-dir "$exp/frozen/$name" --json "$exp/frozen/$name/wer.json"
  hra decode --backbone "$backbone" --data "$data/accents" --exp-dir "$exp/hra" "$@" \
    --output-dir "$exp/hra/$name" --json "$exp/hra/$name/wer.json"
}

if in_range 0; then
  log "Stage 0: synthesise accented speech"
  python ../accents/local/synthesise.py --output-dir "$data/speech" --voices "$voices" --num-jobs "$num_jobs" \
    --seed "$seed"
fi

if in_range 1; then
  log "Stage 1: prepare features, one task per accent"
  hra prepare cuts "$data/speech/cuts.jsonl.gz" --task-by custom.accent --split-by custom.split \
    --output-dir "$data/accents" --backbone "$backbone" --num-jobs "$num_jobs"
fi

if in_range 2; then
  log "Stage 2: train the controller and a head for every accent, with chunks drawn for every batch"
  hra train --backbone "$backbone" --data "$data/accents" --exp-dir "$exp/hra" \
    --chunk-size "$train_chunks" --left-context-frames "$train_left" \
    --validate-chunk-size "${used%:*}" --validate-left-context-frames "${used#*:}" \
    --num-epochs "$num_epochs" --max-duration "$max_duration" --rnnt-type modified --seed "$seed" --resume
fi

if in_range 3; then
  log "Stage 3: decode whole utterances: with full context, and masked as streams are"
  decode whole
  for one in $chunks; do
    # shellcheck disable=SC2046 - options
    decode "masked-${one/:/-}" $(chunk_options "$one")
  done
fi

if in_range 4; then
  log "Stage 4: decode streams, chunk by chunk"
  for one in $chunks; do
    # shellcheck disable=SC2046 - options
    decode "streaming-${one/:/-}" --streaming $(chunk_options "$one")
  done
  # shellcheck disable=SC2086 - a list
  python local/against_whole.py --backbone "$backbone" --data "$data/accents" --exp-dir "$exp/hra" --chunks $chunks
fi

if in_range 5; then
  log "Stage 5: export the recogniser and the heads to ONNX"
  # shellcheck disable=SC2046 - options
  hra export-onnx --backbone "$backbone" --exp-dir "$exp/hra" $(chunk_options "$used") --output "$exp/onnx"
fi

if in_range 6; then
  log "Stage 6: decode the test set with sherpa-onnx"
  hra check-export "$exp/onnx" --data "$data/accents"
  name="streaming-${used/:/-}"
  if [[ -e $exp/hra/$name/wer.json ]]; then  # --chunks may be without those that are used
    log "Streams with --chunk-size ${used%:*} --left-context-frames ${used#*:}, compared with the frozen model"
    python ../accents/local/summarise.py --frozen "$exp/frozen/$name/wer.json" --adapted "$exp/hra/$name/wer.json" \
      --heads-dir "$exp/hra/heads"
  fi
  first="${voices%%,*}"
  echo "Recognise a recording as a stream with one of the heads, here from $PWD:"
  echo "  hra decode --backbone $backbone --exp-dir $exp/hra --task $first --streaming $(chunk_options "$used")" \
    "$data/speech/wav/$first/$first-test-0000.wav"
  echo "The exported recognisers, and how to run them: $(realpath "$exp/onnx/README.md")"
fi

python ../utils/results.py "$exp" 'frozen/*' 'hra/*' --title "Streaming: heads that serve every chunk size" \
  --output "${results:-$exp/RESULTS.md}"
