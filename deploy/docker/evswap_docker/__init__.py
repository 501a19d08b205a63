"""Stations and the local AWS in containers: ``deploy/docker/stations``.

``wheels`` and ``context`` put together what a build needs, ``images`` builds, ``compose`` runs, ``commands``
are what a person asks for. ``station`` and ``aws`` are the entrypoints inside the images and stand alone
there. Standard library only.
"""
