"""Random faults on a cluster of real agents under load, and a verdict: ``python -m kit.chaos --seed 7 --seconds 60``.

=============  ==============================================================
``schedule``   which fault strikes which node, and when: from a seed. Pure
``faults``     how each is caused and ended
``readers``    consumers that restart, and whether what they read is right
``run``        the cluster, the clients, the faults, and the verdict
=============  ==============================================================
"""
