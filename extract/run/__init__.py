"""`rhas extract`: an extraction from start to end. Start reading at `run`.

- `run`: checks, resume, the scheduled work, the accounts
- `schedule`: what is given to whom, and when; `jobs`: what is given
- `workers`: what decoders, model workers and the writer do, knowing nothing of Ray; `pool`: what the scheduler
  asks of whatever runs them; `ray_pool`: Ray actors, the one file that knows Ray; `local_pool`: processes
  (`local_worker`) of this machine, which send each other `parcels`; `layout`: how many of each
- `share`: which movies a rank has; `next_movies`: what a decoder fetches ahead; `outputs`: where features go
- `progress`, `report`, `accounts`: how it goes, how fast it was, what came of every movie
"""
