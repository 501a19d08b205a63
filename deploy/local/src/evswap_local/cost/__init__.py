"""What the stack costs on AWS, computed from what a local run really moved.

prices    what AWS asks for, with region, date and source: ``prices.yaml``
profile   what one station's day moved, as it was measured: ``profile.json``
lines     the lines of a bill, and their sum
ours      the stack in cloud/stack as a bill
seed      the original design (one PutObject and one PutItem a message) as a bill
"""
