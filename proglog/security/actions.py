"""What a subject may do: the book's two actions, and those beside them.

::

    action      covers                                                       included in, while no rule names it
    produce     appending records                                            -
    consume     reading records; named positions                             -
    describe    which servers there are                                      consume
    observe     what an agent says of itself and its cluster; verifying      consume
    replicate   copying whole logs as a peer, and counting as a copy         produce and consume together
    operate     changing the cluster, others' named positions, losses     -

A policy that says nothing of an action - the book's, or one of an earlier release - grants it as the last column says.
The first rule that names it ends that for everybody: from then on it is granted by such rules only.
"""

from collections.abc import Mapping

PRODUCE, CONSUME, DESCRIBE, OBSERVE = "produce", "consume", "describe", "observe"
REPLICATE, OPERATE = "replicate", "operate"
ACTIONS = (PRODUCE, CONSUME, DESCRIBE, OBSERVE, REPLICATE, OPERATE)
"""All of them."""

INCLUDED_IN: Mapping[str, tuple[str, ...]] = {
    DESCRIBE: (CONSUME,),
    OBSERVE: (CONSUME,),
    REPLICATE: (PRODUCE, CONSUME),
}
"""Which actions together grant another one, in a policy without a rule that names it."""
