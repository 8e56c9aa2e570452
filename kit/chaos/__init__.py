"""Random faults on a cluster of real agents under load, and a verdict: ``python -m kit.chaos --seed 7 --seconds 60``.

=============  ==============================================================
``schedule``   which fault hits which node, and when: from a seed. Pure
``faults``     causes and ends each fault
``readers``    consumers that restart, and checks of what they read
``run``        the cluster, the clients, the faults, and the verdict
=============  ==============================================================
"""
