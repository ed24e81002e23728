"""The methods that HRA is compared with, and HRA without its parts. Nothing of the product needs them."""
