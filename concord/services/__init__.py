"""What an operator can do, said once for the command line, the pages and the API: check, seal, store, queue, audit."""
