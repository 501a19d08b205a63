"""Deliver what the outbox holds, by rank, several messages at once, until the far side has each.

======================================  ====================================================
lane, in order of rank                  what goes there
======================================  ====================================================
events                                  alarms, swaps: never behind anything else
change                                  the newest state, at once after a change and first
                                        after an outage; a newer one takes its place
live                                    what was stored since there is a link
backlog                                 what was stored before, oldest first, at a capped and
                                        jittered rate; takes no more of the window than
                                        leaves room for the others
======================================  ====================================================

What became of a message decides what happens to what it says:

======================================  ====================================================
accepted                                it leaves the outbox
refused, the message itself is at       it is set aside and logged; what is behind it goes on
fault
refused for now (a policy, a quota),    it is sent again after a backoff, its lane knocks with
or not answered in time                 one message at a time until it works, and the other
                                        lanes go on; reported once, until it works again
link lost                               it is given back to the outbox, and is part of the
                                        backlog when there is a link again
======================================  ====================================================
"""

from evswap_edge.publisher.limits import Limits
from evswap_edge.publisher.publisher import Publisher
from evswap_edge.publisher.schedule import Sealing

__all__ = ["Limits", "Publisher", "Sealing"]
