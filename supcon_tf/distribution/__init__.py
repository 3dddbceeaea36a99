"""Many devices and many machines: strategy, replicas, cluster, workers."""
