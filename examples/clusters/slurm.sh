#!/bin/sh
# An array of 8 tasks, each of which extracts its shard, and a job that merges them:
#
#     FIRST=$(sbatch --parsable examples/clusters/slurm.sh photos shards)
#     sbatch --dependency=afterok:"$FIRST" --wrap "featx merge shards/*.h5 -o features.h5"
#
# A task that was stopped goes on where it was: sbatch --array=3,7 examples/clusters/slurm.sh photos shards
#SBATCH --job-name=featx
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
set -eu
photos=$1 folder=$2
mkdir -p "$folder"
# Status 3: some pictures cannot be used and are named; all others are done.
featx extract "$photos" --shard auto/8 --workers "${SLURM_CPUS_PER_TASK:-4}" \
  -o "$folder/shard-$SLURM_ARRAY_TASK_ID.h5" || [ $? -eq 3 ]
