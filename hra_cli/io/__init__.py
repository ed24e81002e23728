"""Files that appear whole or not at all, safetensors, fingerprints."""
