"""Fits small models of the real architectures to the made world: a GroundingDINO and a BLIP-2 for matching.

`vocabulary` makes their tokenizer and `scenes` their data; `fit` is the loop of both. `detector` and `encoder` say
what is fitted, `measure_detector` and `measure_encoder` what comes out of it on movies that nothing was fitted to.
"""
