"""What a checkpoint is that is no Zipformer transducer, told from what its tensors are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hra_cli.errors import HraError

_OTHER_RECOGNISER = "hra adapts the transducers of icefall's zipformer recipe; give one of those"


@dataclass(frozen=True)
class Family:
    """A kind of model. has, lacks: regular expressions; each of `has` is found at the start of some tensor's name, and
    none of `lacks` is. remedy: what to do instead."""

    name: str
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    remedy: str = _OTHER_RECOGNISER


# In this order: the first that fits is named. A whole Zipformer transducer fits none of them, unless there is more in
# it than hra would run: then its results would be others than it was trained for.
FAMILIES = (
    Family("a speech encoder before a language model", (r"(llm|encoder_projector)\.",)),
    Family(
        "a wav2vec 2.0, HuBERT or WavLM model of transformers",
        (r"((wav2vec2|hubert|wavlm|data2vec_audio|unispeech)\.|(\w+\.)?masked_spec_embed$)",),
    ),
    Family(
        "a Zipformer of icefall's SSL recipes (k2SSL), which hears the waveform and not its spectrum",
        (r"(encoder\.)?feature_extractor\.conv_layers\.", r"(encoder\.)?encoder\.encoders\."),
    ),
    Family(
        "a HuBERT or wav2vec 2.0 model, of fairseq or of icefall's SSL recipes",
        (r"(\w+\.)*feature_extractor\.conv_layers\.",),
    ),
    Family("a Whisper model", (r"(\w+\.)*encoder\.blocks\.\d+\.attn\.", r"(\w+\.)*decoder\.token_embedding\.")),
    Family(
        "a Whisper model of transformers",
        (r"(model\.)?encoder\.layers\.\d+\.self_attn\.k_proj\.", r"(model\.)?decoder\.embed_tokens\."),
    ),
    Family("a SenseVoice or Paraformer model of FunASR", (r".*\.fsmn_block\.",)),
    Family("a model of NeMo", (r"(encoder\.pre_encode|preprocessor\.featurizer|joint\.(pred|enc|joint_net))\.",)),
    Family("a model of ESPnet or WeNet", (r".*\.self_attn\.linear_q\.",)),
    Family("a streaming Emformer or ConvEmformer of icefall", (r".*\bemformer_layers\.",)),
    Family("a transducer with an LSTM decoder, of icefall's first recipes", (r"decoder\.rnn\.", r"joiner\.")),
    Family(
        "a transducer with an LSTM encoder (icefall's lstm_transducer_stateless)",
        (r"encoder\.encoder\..*\.lstm\.",),
    ),
    Family(
        "a Conformer transducer (icefall's transducer_stateless or pruned_transducer_stateless)",
        (r"encoder\.encoder\.layers\.\d+\.conv_module\.", r"encoder\.encoder\.layers\.\d+\.norm_ff\.", r"joiner\."),
    ),
    Family(
        "a reworked Conformer transducer (icefall's pruned_transducer_stateless2 to 6)",
        (r"encoder\.encoder\.layers\.\d+\.conv_module\.", r"joiner\."),
    ),
    Family("a Conformer or Transformer of icefall with CTC", (r"encoder\.layers\.\d+\.", r"encoder_output_layer\.")),
    Family("a TDNN or TDNN-LSTM of icefall with CTC", (r"tdnn\.",)),
    Family(
        "a transducer with the first Zipformer (icefall's pruned_transducer_stateless7 or 8)",
        (r"encoder\.encoder_embed\.", r"encoder\.encoders\.\d+\."),
    ),
    Family(
        "a Zipformer with CTC alone, without a decoder and a joiner",
        (r"encoder\.encoders\.\d+\.", r"ctc_output\."),
        (r"decoder\.", r"joiner\."),
        "hra adapts transducers; train with --use-transducer 1, or give one that was",
    ),
    Family(
        "a Zipformer that labels sounds (icefall's audio_tagging)",
        (r"encoder\.encoders\.\d+\.", r"classifier\."),
        (r"decoder\.", r"joiner\."),
    ),
    Family("a language model of icefall", (r"input_embedding\.", r"(rnn|encoder)\.", r"output_linear\.")),
    Family(
        "a recogniser with LoRA in it, as of icefall's zipformer_lora or of peft",
        (r".*\blora_[AB]\b",),
        remedy="merge LoRA into its weights and export it again, or give the recogniser that it was begun from",
    ),
    Family(
        "a recogniser with adapters in it, as of icefall's zipformer_adapter",
        (r"(.*[._])?adapters?\.",),
        remedy="give the recogniser that it was begun from; hra adds adapters of its own",
    ),
)  # fmt: skip


def refuse_other_family(file: Path, names: Iterable[str]) -> None:
    """Raises HraError, saying what it is, where tensors of these names are a model that hra knows and does not run."""
    listed = "\n".join(names)

    def any_begins(pattern: str) -> bool:
        return re.search("^" + pattern, listed, re.MULTILINE) is not None

    for family in FAMILIES:
        if all(map(any_begins, family.has)) and not any(map(any_begins, family.lacks)):
            raise HraError(f"{file} is {family.name}; {family.remedy}")


# By the end of the file's name: what is no checkpoint, whatever is in it.
_OTHER_FILES = {
    ".onnx": "an ONNX graph, which cannot be adapted; give the pretrained.pt that it was exported from",
    ".nemo": f"a model of NeMo; {_OTHER_RECOGNISER}",
}


def refuse_other_file(file: Path) -> None:
    """Raises HraError, saying what it is, where the file's name says that it is no checkpoint."""
    if file.suffix in _OTHER_FILES:
        raise HraError(f"{file} is {_OTHER_FILES[file.suffix]}")


def refuse_own_file(file: Path, metadata: Mapping[str, str]) -> None:
    """Raises HraError where the metadata of a safetensors file are those of a head or a controller."""
    written = metadata.get("format", "")
    if written in ("hra-head", "hra-controller"):
        kind = written[len("hra-") :]
        raise HraError(f"{file} is a {kind} of hra, and no recogniser; give it with --{kind}")


def refuse_other_content(file: Path, content: Any) -> None:
    """Raises HraError, saying what it is, where what torch.save has saved is no icefall checkpoint but another's."""
    if not isinstance(content, dict):
        return
    if content.keys() >= {"state", "param_groups"}:
        raise HraError(f"{file} is the state of an optimiser, and no recogniser; give the checkpoint beside it")
    for tensors in (content, *(content.get(key) for key in ("state_dict", "model_state_dict"))):
        if isinstance(tensors, dict):
            refuse_other_family(file, map(str, tensors))
