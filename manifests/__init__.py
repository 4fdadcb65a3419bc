"""The contract between the stages: what users hand in (`tables`), and the folder of features (`shards`).

`imports` brings data of others into these forms, `annotations` what people draw in tools; `common` is what everything
stands on. Knows neither torch nor ray.
"""
