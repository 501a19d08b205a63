"""The bench: what looks at a running stack from outside, through MQTT, HTTP and the machine's own tables.

It shares the contract (`evswap_schema`) with the product and no other code, so that a fault on one side is
not repeated on the other.
"""
