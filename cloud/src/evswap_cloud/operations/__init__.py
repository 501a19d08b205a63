"""What an operator does to a deployment: try it (``smoke``), bring back what could not be processed
(``redrive``), rebuild what was lost (``restore``), go back to the code before (``rollback``).

A deployment is found through AWS itself, by the prefix of its names: nothing of it is written down a second
time here.
"""
