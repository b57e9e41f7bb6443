#!/bin/sh
# Makes the seeds of the fuzz target from the golden edits: one file for each `set` case, in fuzz/seeds.
set -eu
cd "$(dirname "$0")"
mkdir -p seeds
for case in ../../../testdata/edit/*/; do
  read -r verb path value _ < "$case/args"
  [ "$verb" = set ] || { value=$path; path=a; }
  for before in "$case"/before.*; do
    { printf '\000%s\n%s\n' "$path" "$value"; cat "$before"; } > "seeds/$(basename "$case")"
    { printf '\003%s\n%s\n' "$path" "$value"; cat "$before"; } > "seeds/$(basename "$case").each"
    { printf '\002%s\n%s\n' "new.key" "$value"; cat "$before"; } > "seeds/$(basename "$case").create"
  done
done
