"""README.md of an exported folder: what lies there, and how sherpa-onnx runs it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from hra_cli.export.export_config import FLOAT32, VARIANTS, ExportConfig
from hra_cli.export.graph_files import (
    TOKENS,
    decoder_file,
    encoder_file,
    encoder_for_any_file,
    joiner_file,
    weights_file,
)


def folder_guide(config: ExportConfig, tasks: Sequence[str]) -> str:
    """The text. Names are quoted for a shell, since a task may be called anything."""
    streaming = config.chunk_size is not None
    first = tasks[0] if tasks else None
    encoder, decoder, joiner = encoder_file(FLOAT32, first), decoder_file(FLOAT32), joiner_file(FLOAT32)
    kind = (
        f"streaming, chunks of {config.chunk_size} frames of 20 ms, {config.left_context_frames} before them"
        if streaming
        else "whole utterances"
    )
    options = {"encoder": encoder, "decoder": decoder, "joiner": joiner, "tokens": TOKENS}
    program = "sherpa-onnx" if streaming else "sherpa-onnx-offline"
    command = " \\\n      ".join([program, *(f"{shlex.quote(f'--{k}={v}')}" for k, v in options.items()), "speech.wav"])
    whole = shlex.quote(f"import onnx; onnx.save(onnx.load({encoder!r}), 'whole.onnx')")
    return f"""# A recogniser for sherpa-onnx

Written by `hra export-onnx`: {kind}; {len(tasks)} tasks. All files lie in one folder, and stay in it together.

{_files(config, tasks)}

## On a server or a board

With the programs of sherpa-onnx, in this folder (audio at 16 kHz; another rate is resampled in another way than hra does):

    {command}

Another task is another encoder; the other files are the same for all. From Python (`pip install sherpa-onnx`):

{_indented(_python(options, streaming))}

## On Android

Config of `{"OnlineRecognizer" if streaming else "OfflineRecognizer"}`, with `modelDir` the folder's path in the app's own storage:

{_indented(_kotlin(options, streaming))}

Files among an app's assets are read into memory, where a graph does not find `{weights_file(FLOAT32)}` beside it. So copy the folder
to `context.filesDir` first and leave `assetManager` out; or make a graph whole, and put that among the assets:

    python -c {whole}
"""


def _files(config: ExportConfig, tasks: Sequence[str]) -> str:
    rows = []
    for variant in config.variants:
        rows.append(f"| `{encoder_file(variant)}` | the frozen recogniser, {VARIANTS[variant]} |")
        if tasks:
            rows.append(f"| `encoder-TASK{variant}.onnx` | with a task's head |")
            rows.append(f"| `{encoder_for_any_file(variant)}` | takes a head for every utterance, for onnxruntime |")
        rows.append(f"| `{decoder_file(variant)}`, `{joiner_file(variant)}` | of all tasks |")
        rows.append(f"| `{weights_file(variant)}` | the recogniser's weights, which these graphs share |")
    rows.append(f"| `{TOKENS}` | the tokens |")
    return "\n".join(["| file | what |", "|---|---|", *rows])


def _python(options: dict[str, str], streaming: bool) -> str:
    arguments = "\n".join(f"    {name}={file!r}," for name, file in options.items())
    kind = "OnlineRecognizer" if streaming else "OfflineRecognizer"
    if not streaming:
        use = """stream.accept_waveform(16000, samples)  # float32, 1 is full scale
recogniser.decode_stream(stream)
print(stream.result.text)"""
    else:
        use = """stream.accept_waveform(16000, samples)  # float32, 1 is full scale; again and again
stream.accept_waveform(16000, [0.0] * 10560)  # 0.66 s, so that the last words come out
stream.input_finished()
while recogniser.is_ready(stream):
    recogniser.decode_stream(stream)
print(recogniser.get_result(stream))"""
    return f"""import sherpa_onnx

recogniser = sherpa_onnx.{kind}.from_transducer(
{arguments}
)
stream = recogniser.create_stream()
{use}"""


def _kotlin(options: dict[str, str], streaming: bool) -> str:
    kind = "Online" if streaming else "Offline"
    files = [f'        {name} = "$modelDir/{_escaped(options[name])}",' for name in ("encoder", "decoder", "joiner")]
    return "\n".join(
        [
            f"{kind}ModelConfig(",
            f"    transducer = {kind}TransducerModelConfig(",
            *files,
            "    ),",
            f'    tokens = "$modelDir/{options["tokens"]}",',
            f'    modelType = "{"zipformer2" if streaming else "transducer"}",',
            ")",
        ]
    )


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")


def _indented(text: str) -> str:
    return "\n".join("    " + line if line else line for line in text.split("\n"))
