"""The features folder: what stage 1 writes and stage 2 reads.

- `layout`: where things lie; `format`: the shard, and writing it; `schema`: what a shard may consist of
- `reader`: reading it; `status`: what is known of each frame; `statistics`: how many of which
- `identity`: what makes two windows the same; `resume`: what earlier work left; `verify`: whether all of it is there
- `ledger`: what is known of finished shards without opening them
- `snapshot`: the user's tables beside the shards; `failures`: what could not be done
- `ranks`: several runs that share a folder; `mirror`: a folder in an object store
"""
