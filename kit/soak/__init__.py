"""A mixed, encrypted cluster in peace, for hours: false accusations, complaints, memory and processor time.

Three stock ``serf agent`` processes and three proglog agents on loopback, with light traffic from both sides: records,
user events, queries, tags, and rotations of the key. Nothing is broken on purpose, so nothing may be reported as
broken. ``make soak SECONDS=7000``.
"""
