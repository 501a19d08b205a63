"""The safety interlock: when a station's own eyes see danger, charging is cut and the bay is locked out, at
once and until a person at the station releases it. It needs no network, and no other part of the station."""
