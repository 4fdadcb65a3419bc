"""What everything else stands on: errors, settings, whole files, locks and child processes."""
