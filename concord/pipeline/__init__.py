"""Mail in, events out.

Read in this order: schedule, poll, ledger, process, event, rules, dispatch, workflow, replay.
"""
