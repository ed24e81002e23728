"""What once was executed, a traceback or another result: KIND/MUTATOR and a seed.

The tests of each reader hold the same as files made by hand.
"""

FOUND: tuple[tuple[str, int], ...] = tuple(
    (name, seed)
    for name, seeds in (
        ("pretrained.pt/torchscript", 1),  # its code was run
        ("pretrained.pt/whole_malicious_pickle", 1),
        ("pretrained.pt/huge_tensor", 1),
        ("pretrained.pt/other_content", 4),
        ("legacy.pt/whole_malicious_pickle", 1),
        ("legacy.pt/pickle_opcode", 2),
        ("model.safetensors/safetensors_dtype", 2),
        ("head/safetensors_not_finite", 2),
        ("head/safetensors_dtype", 3),
        ("head/safetensors_metadata", 2),
        ("controller/safetensors_not_finite", 1),
        ("checkpoint/safetensors_not_finite", 1),
        ("checkpoint/flip_bytes", 1),
        ("checkpoint/safetensors_metadata", 1),
        ("cuts.jsonl/hostile_source", 4),  # its commands were run
        ("cuts.jsonl/hostile_features", 2),
        ("data-resealed/zipped_hostile_source", 4),
        ("data-test/zipped_delete_line", 1),
        ("data-train/zipped_duplicate_line", 1),
        ("tasks.json/deep", 1),
        ("tasks.json/json_value", 2),
        ("config.yaml/flip_bytes", 1),
        ("config.yaml/yaml_bomb", 1),
        ("config.yaml/yaml_tag", 1),
        *((f"audio.{name}/truncate", 2) for name in ("aiff", "au", "w64", "rf64", "wav-float", "wav-ulaw", "wavex")),
        ("audio-name/hostile_name", 4),
        ("manifest-name/hostile_name", 4),
    )
    for seed in range(seeds)
)
