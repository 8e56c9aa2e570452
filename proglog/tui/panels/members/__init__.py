"""The members of the cluster: their table, and the page of one."""
