"""Files from strangers, made by script: nothing hostile lies in the repository. See `docs/safety.md`."""
