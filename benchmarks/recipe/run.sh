#!/usr/bin/env bash
# The experiments of docs/RESULTS.md, from the pictures: stores, then one experiment after the other. What is done is not done
# again. DATA holds ct/sars_cov2_ct, ct/ucsd_covid_ct (with index.csv: patient_id, official_split) and xray (index.csv).
#   benchmarks/recipe/run.sh DATA OUT [JOBS]
set -euo pipefail
[[ $# -ge 2 ]] || { echo "usage: benchmarks/recipe/run.sh DATA OUT [JOBS]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
data=$1 out=$2 jobs=${3:-2}
mkdir -p "$out"

store() { # NAME, options of prepare
    local name=$1
    shift
    [[ -f "$out/$name/store.json" ]] || plr-fast prepare --size 64 --out "$out/$name" "$@"
}
sars=$data/ct/sars_cov2_ct
store sars-40 --source "$sars" --block-size 40
store sars --source "$sars" --block-size 20 --near-duplicates group
[[ -f "$out/development.csv" ]] ||
    python "$here/untouched_split.py" "$out/sars-40" "$out/sars" "$out/untouched.csv" "$out/development.csv"
store sars-development --source "$out/development.csv" --root "$sars" --patient-column block
store sars-untouched --source "$out/untouched.csv" --root "$sars" --patient-column block --split-column split
store ucsd --source "$data/ct/ucsd_covid_ct/index.csv" --patient-column patient_id --split-column official_split
store xray --source "$data/xray/index.csv" --positive pneumonia --masks none

run() { # NAME, data sets
    local name=$1
    shift
    plr-fast experiment "$here/$name.yaml" --out "$out/$name" --jobs "$jobs" --data "$@"
}
run longer "SARS-CoV-2=$out/sars-development"
run untouched "SARS-CoV-2=$out/sars-untouched"
run groups "SARS-CoV-2=$out/sars" "UCSD=$out/ucsd" "X-ray=$out/xray" "SARS-CoV-2 slices=$out/sars"
run paper "SARS-CoV-2=$out/sars" "X-ray=$out/xray"
run parts "SARS-CoV-2=$out/sars-untouched"
