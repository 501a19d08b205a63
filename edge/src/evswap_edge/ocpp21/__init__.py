"""The border to OCPP 2.1: what this station says and hears, in the words of the standard, and back.

Pure: documents in, documents out; nothing here has a connection or a clock. Every document that leaves or
enters is held to the official JSON schemas, which the library ``ocpp`` brings along and which are used as
they are. OCPP's spelling (``soC``, ``evseId``) is found here and nowhere else.

    InvalidMessage (evswap_schema)   field, rule, value
    ├── InvalidFrame    text that is no OCPP-J message; message_id as far as it can be read
    └── InvalidField
        └── InvalidPayload   a payload that breaks its schema; action, and the code of a CALLERROR for it
    UnknownAction       no message of OCPP 2.1 has this name
"""
