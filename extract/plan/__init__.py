"""`rhas plan`: what an extraction would find, without models.

`plan` probes the movies, `forecast` estimates the time.
"""
