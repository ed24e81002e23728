"""README.md of an exported folder: what lies there, and how sherpa-onnx runs it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from hra_cli.export.export_config import FLOAT32, VARIANTS, ExportConfig
from hra_cli.export.graph_files import (
    TOKENS,
    decoder_file,
    encoder_file,
    encoder_for_any_file,
    joiner_file,
    weights_file,
)

_TEXT = """# A recogniser for sherpa-onnx

Written by `hra export-onnx`: {what}. All files belong into one folder, with these names.

{files}

## On a server or a board

With the programs of sherpa-onnx, in this folder. Give audio at 16 kHz; other rates are resampled in another way than
hra does it.

{command}

{others}From Python, after `pip install sherpa-onnx`:

{python}

## On Android

For `{kind}Recognizer`, with `modelDir` the folder's path in the app's own storage:

{kotlin}

Files among an app's assets are read into memory, where a graph does not find `{weights}` beside it. So copy the folder
to `context.filesDir` first, and leave `assetManager` out. Or make whole files, put these among the
assets, and use their names above, without `$modelDir/`:

{whole}
"""


def folder_guide(config: ExportConfig, tasks: Sequence[str]) -> str:
    """The text. Names are quoted for a shell, since a task may be called anything."""
    streaming = config.chunk_size is not None
    what = f"{len(tasks)} tasks" if tasks else "the frozen recogniser alone"
    if streaming:
        what += (
            f", streams in chunks of {config.chunk_size} frames of 20 ms that see "
            f"{config.left_context_frames} frames before them"
        )
    else:
        what += ", whole utterances"
    graphs = {
        "encoder": encoder_file(FLOAT32, tasks[0] if tasks else None),
        "decoder": decoder_file(FLOAT32),
        "joiner": joiner_file(FLOAT32),
    }
    kind = "Online" if streaming else "Offline"
    return _TEXT.format(
        what=what,
        files=_files(config, tasks),
        others="Another task has another encoder; the other files are the same for all. " if tasks else "",
        command=_indented(_command(graphs, streaming)),
        python=_indented(_python(graphs, streaming, kind)),
        kind=kind,
        kotlin=_indented(_kotlin(graphs, streaming, kind)),
        weights=weights_file(FLOAT32),
        whole=_indented(_whole(graphs)),
    )


def _files(config: ExportConfig, tasks: Sequence[str]) -> str:
    rows = []
    for variant in config.variants:
        rows.append(f"| `{encoder_file(variant)}` | the frozen recogniser's encoder, {VARIANTS[variant]} |")
        if tasks:
            rows.append(f"| `{encoder_file(variant, 'TASK')}` | the same with the head of a task |")
            rows.append(f"| `{encoder_for_any_file(variant)}` | the same, given heads as inputs; for onnxruntime |")
        rows.append(f"| `{decoder_file(variant)}`, `{joiner_file(variant)}` | of all tasks |")
        rows.append(f"| `{weights_file(variant)}` | the recogniser's weights, which all of these share |")
    rows.append(f"| `{TOKENS}` | the tokens |")
    return "\n".join(["| file | what |", "|---|---|", *rows])


def _command(graphs: Mapping[str, str], streaming: bool) -> str:
    options = [shlex.quote(f"--{part}={file}") for part, file in {**graphs, "tokens": TOKENS}.items()]
    return " \\\n  ".join(["sherpa-onnx" if streaming else "sherpa-onnx-offline", *options, "speech.wav"])


def _python(graphs: Mapping[str, str], streaming: bool, kind: str) -> str:
    files = [f"    {part}={file!r}," for part, file in {**graphs, "tokens": TOKENS}.items()]
    use = ["recogniser.decode_stream(stream)", "print(stream.result.text)"]
    if streaming:
        use = [
            "stream.accept_waveform(16000, [0.0] * 10560)  # 0.66 s, so that the last words come out",
            "stream.input_finished()",
            "while recogniser.is_ready(stream):",
            "    recogniser.decode_stream(stream)",
            "print(recogniser.get_result(stream))",
        ]
    return "\n".join(
        [
            "import sherpa_onnx",
            "",
            f"recogniser = sherpa_onnx.{kind}Recognizer.from_transducer(",
            *files,
            ")",
            "stream = recogniser.create_stream()",
            "stream.accept_waveform(16000, samples)  # one channel, floats from -1 to 1",
            *use,
        ]
    )


def _kotlin(graphs: Mapping[str, str], streaming: bool, kind: str) -> str:
    model_type = "zipformer2" if streaming else "transducer"
    files = [f'        {part} = "$modelDir/{_in_kotlin(file)}",' for part, file in graphs.items()]
    return "\n".join(
        [
            f"{kind}ModelConfig(",
            f"    transducer = {kind}TransducerModelConfig(",
            *files,
            "    ),",
            f'    tokens = "$modelDir/{TOKENS}",',
            f'    modelType = "{model_type}",',
            ")",
        ]
    )


def _in_kotlin(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")


def _whole(graphs: Mapping[str, str]) -> str:
    lines = ["make_whole='import onnx, sys; onnx.save(onnx.load(sys.argv[1]), sys.argv[2])'"]
    lines += [f'python -c "$make_whole" {shlex.quote(file)} whole-{part}.onnx' for part, file in graphs.items()]
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n".join("    " + line if line else line for line in text.split("\n"))
