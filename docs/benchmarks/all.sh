#!/usr/bin/env bash
# Everything that the tables are made of, on a GPU of 80 GB: the same again goes on where it was stopped.
#
#     CUDA_VISIBLE_DEVICES=0 docs/benchmarks/all.sh timed       # alone on its GPU, on a quiet host
#     CUDA_VISIBLE_DEVICES=1 docs/benchmarks/all.sh outcomes    # what counts is whether it runs
#
# Checkpoints (90 GB) and marks of what is done go to $SCRATCH, rows beside the scripts.
set -euo pipefail
[[ ${1:-} =~ ^(timed|outcomes)$ ]] || { echo "all.sh timed, or all.sh outcomes" >&2; exit 2; }
here=$(dirname "$(realpath "$0")")
scratch=${SCRATCH:-/scratch}
mkdir -p "$scratch"

once() { # a name for the mark, then a script and its arguments
    local mark="$scratch/.done-$1"
    shift
    [ -e "$mark" ] || { python "$here/$1" "${@:2}" && touch "$mark"; }
}
checkpoint() { # a model, and the one that it shares text encoder and VAE with
    once "make-$1" make_checkpoint.py "${1#thin-}" --out "$scratch/$1" ${2:+"${@:2}"}
}

exec 9>"$scratch/.lock" && flock 9 # the other half makes the same
checkpoint 5b
checkpoint 2b
checkpoint 1.5-5b
checkpoint 5b-i2v --share "$scratch/5b"
checkpoint 1.5-5b-i2v --share "$scratch/1.5-5b"
checkpoint void --share "$scratch/1.5-5b"
checkpoint 1.5-5b-inp --share "$scratch/1.5-5b"
flock -u 9

case $1 in
timed)
    for run in 5b:640x384x25,1024x576x33 2b:640x384x25,960x544x33 5b-i2v: \
        1.5-5b:848x480x33 1.5-5b-i2v:960x768x33; do
        model=${run%%:*} image=() runs=()
        [[ $model == *i2v ]] && image=(--image)
        for size in "" $(tr , ' ' <<<"${run#*:}"); do
            for tier in none model stream staged sequential; do runs+=("$tier${size:+:$size}"); done
        done
        python "$here/tiers.py" --model "$scratch/$model" "${image[@]}" --runs "$(IFS=, && echo "${runs[*]}")"
    done
    once stream stream.py --model "$scratch/5b" --limits 5.7,6,8,12,16,24 --compile --steps 5
    once stream-1.5 stream.py --model "$scratch/1.5-5b" --limits 8.5 --halves 8.2 --brief --steps 3
    python "$here/speeds.py" --model "$scratch/5b"
    python "$here/speeds.py" --model "$scratch/5b" --size 720x480x9 \
        --runs plain,exact:none,exact:model,exact:stream:5.7,exact:staged,exact:sequential
    python "$here/speeds.py" --model "$scratch/1.5-5b" --steps 3 --runs plain,fast:none,faster:none
    python "$here/speeds.py" --model "$scratch/2b" --runs plain,exact:none,fast:none,faster:none
    for seed in 28 29 30; do python "$here/heldout.py" --models "$scratch" --seed "$seed"; done
    python "$here/inpaint.py" --folder "$scratch"
    python "$here/slow_bus.py" --model "$scratch/5b"
    python "$here/field.py" --model "$scratch/5b"
    python "$here/field.py" --model "$scratch/5b" --cap 5
    once savings savings.py --model "$scratch/5b" --floors
    once savings-2b savings.py --model "$scratch/2b" --floors
    once attention attention.py --out "$here/attention.jsonl"
    once decode decode.py --out "$here/decode.jsonl"
    once probe probe.py --out "$here/probe.jsonl"
    once meter meter.py --model "$scratch/2b" --steps 61 --out "$here/meter.jsonl"
    once meter-fast meter.py --model "$scratch/2b" --speed fast --steps 61 --out "$here/meter.jsonl"
    once interrupt interrupt.py --model "$scratch/1.5-5b"
    once interrupt-fast interrupt.py --model "$scratch/5b" --speeds fast,faster \
        --phases compile,denoise,decode --within 3
    ;;
outcomes)
    checkpoint thin-5b --layers 2
    checkpoint thin-2b --layers 2
    once soak soak.py --models "$scratch/thin-5b,$scratch/thin-2b" --sizes 720x480x9,720x480x17 \
        --runs 60 --out "$here/soak-gpu.jsonl"
    once soak-speeds soak.py --models "$scratch/thin-5b" --sizes 720x480x9 --runs 30 \
        --speeds exact,fast,faster --out "$here/soak-speeds.jsonl"
    once soak-whole soak.py --models "$scratch/5b,$scratch/2b" --sizes 720x480x49 --runs 6 \
        --out "$here/soak-whole.jsonl"
    for model in 5b 2b 5b-i2v 1.5-5b 1.5-5b-i2v; do
        image=()
        [[ $model == *i2v ]] && image=(--image)
        python "$here/caps.py" --model "$scratch/$model" "${image[@]}" --caps 5,6,8,10,12,16,20,24,32
    done
    once taken taken.py --model "$scratch/5b" --leave 12 --out "$here/taken.jsonl"
    ;;
esac
