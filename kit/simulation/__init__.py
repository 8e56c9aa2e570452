"""A cluster on a virtual clock, network and disks: the real log, feed and planner, and a seed that replays any run."""
