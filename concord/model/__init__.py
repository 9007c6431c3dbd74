"""Values: what Concord talks about. Nothing here reads, writes or asks the time; standard library only."""
