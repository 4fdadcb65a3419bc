"""`rhas plan`: what an extraction would find, without models.

`plan` probes the films, `forecast` estimates the time.
"""
