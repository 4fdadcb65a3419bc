"""What is printed and drawn: live displays and summaries (`display`), tables of plans and shards, `picture`."""
