"""Movies to frames: probing, sampling by time stamps, and decoding in a process that can be killed."""
