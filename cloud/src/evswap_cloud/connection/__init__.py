"""Whether stations are there: what is heard of their links, what is made of it, and the fleet in figures."""

from evswap_cloud.connection.contact import Contact, Presence, Word
from evswap_cloud.connection.judgement import STALE_AFTER, Connection, connection_of

__all__ = ["STALE_AFTER", "Connection", "Contact", "Presence", "Word", "connection_of"]
