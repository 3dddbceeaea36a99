"""The depth of networks in tests of what a network does whatever its depth.

A run of some steps spends most of its time on tracing the layers of its network.
"""

BLOCKS = (1,)
