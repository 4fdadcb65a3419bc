"""The command line, the demo and everything that people see. Uses `extract`, `train` and `manifests`."""
