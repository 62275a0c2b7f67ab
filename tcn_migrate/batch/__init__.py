"""Many checkpoints at once: found by content, migrated in worker processes, on a cluster, from and to a bucket.

    find ─► names ─► work, in `run` (this machine) or `cluster` (Dask) ─► journal

`work` is one migration as a job: plain values in, plain values out. `storage` brings what lies at a URL.
"""
