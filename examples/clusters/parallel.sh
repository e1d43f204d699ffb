#!/bin/sh
# GNU parallel: 8 shards, 4 at a time, here or on the machines of a list, and one store of them.
#
#     sh examples/clusters/parallel.sh photos shards
#     MACHINES=machines.txt sh examples/clusters/parallel.sh /shared/photos /shared/shards
#
# Run it again after an interruption: what is done is not computed again. Status 3 of a shard: some
# pictures cannot be used and are named; all others are done.
set -eu
export photos="$1" folder="$2"
mkdir -p "$folder"
parallel --jobs 4 ${MACHINES:+--sshloginfile "$MACHINES"} --env photos --env folder --retries 3 \
  'featx extract "$photos" --shard {}/8 --workers 1 -o "$folder/shard-{}.h5" || [ $? -eq 3 ]' \
  ::: 1 2 3 4 5 6 7 8
featx merge "$folder"/shard-*.h5 -o "$folder/features.h5"
