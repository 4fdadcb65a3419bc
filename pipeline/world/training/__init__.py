"""Fits small models of the real architectures to the made world: a GroundingDINO and a BLIP-2 for matching.

`vocabulary` makes their tokenizer and `scenes` their data; `fit` is the loop of both. `detector` and `encoder` say what is
fitted, `measure` what the results can do on films that nothing was fitted to.
"""
