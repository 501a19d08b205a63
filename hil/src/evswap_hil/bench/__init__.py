"""The bench in labgrid's terms: resources say what there is, drivers what can be done with it, a strategy how
a station is brought from one state to another.

Only what runs or reads a bench imports this package: it needs labgrid, which the rest of `evswap_hil` does
not (`pip` installs it with the extra `bench`).
"""
