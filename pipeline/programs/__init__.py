"""What the larger commands do, with what they show.

`training`, `benchmark`, `importing`; `presets` and `resolving` for `rhas config`; `demo` goes through everything.
"""
