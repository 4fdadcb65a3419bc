"""The commands of `rhas`: options parsed, the stages called, results printed. Heavy imports wait until one runs."""
