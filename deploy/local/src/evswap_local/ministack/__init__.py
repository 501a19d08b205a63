"""What runs inside ministack's own interpreter; it imports only ministack and the standard library.

Written against ministack 1.5.33. ``holes`` mends it, ``certification`` and ``direct`` add what it lacks,
``gate`` stands before its HTTP side, ``proofs`` shows from outside that both hold, ``revocation`` ends
connections, ``snapshots`` keeps its state, ``launcher`` puts them together.
"""
