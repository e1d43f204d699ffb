#!/bin/sh
# One index of many machines, as arrays of SLURM: trained once, filled shard by shard, merged.
# Stores are those of slurm.sh (shards/shard-1.h5 to shard-8.h5) and their merge, features.h5:
#
#     sh examples/clusters/index.sh shards features.h5 100000000
#
# The last argument is the number of images in all.
set -eu
folder=$1 store=$2 images=$3
first=$(sbatch --parsable --wrap \
  "featx index '$folder/shard-1.h5' --train-for $images -o '$folder/trained.faiss'")
fill=$(sbatch --parsable --dependency=afterok:"$first" --array=1-8 --wrap \
  "featx index '$folder'/shard-\$SLURM_ARRAY_TASK_ID.h5 --trained-by '$folder/trained.faiss'")
sbatch --dependency=afterok:"$fill" --wrap \
  "featx merge '$folder'/shard-*.faiss --features '$store' -o '${store%.h5}.faiss'"
