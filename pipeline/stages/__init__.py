"""`rhas run pipeline.yaml`: the commands of both stages one after the other, each as a process with a log of its own.

- `kinds`: what can be a stage, what it reads and writes, and when two inputs are the same
- `pipeline_file`: the YAML file, checked to the last option before anything runs
- `running`: what is to be done, and doing it
- `commands`: run, submit, status, cancel, as a user gives them
- `jobs`: the same on a cluster, through Ray Jobs
"""
