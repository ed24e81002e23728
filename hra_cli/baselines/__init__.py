"""The methods that HRA is compared with, and HRA with one part changed.

Only `hra compare` and `hra info --growth` use them.
"""
