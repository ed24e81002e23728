"""Recognises audio of many tasks in one batch with onnxruntime: one session, and a head for every utterance.

    hra export-onnx --backbone BACKBONE --exp-dir EXP --output ONNX
    python examples/serve_mixed_tasks.py ONNX EXP ann=hello.wav bob=goodbye.wav …

`Server` is what a server would keep. It needs onnxruntime, safetensors and numpy, and no torch. The features that it is
given are 80 log-mel energies every 10 ms; here hra computes them, with torch.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors import SafetensorError
from safetensors.numpy import load_file

LOG_EPSILON = -23.025850929940457  # the energy of no sound at all


class Server:
    """An exported folder, and the experiment that its heads come from: a new head needs no new graph.

    Raises OSError for a file that is not there, ValueError for a task without a head and for an export for streams.
    """

    def __init__(self, folder: Path, exp_dir: Path):
        for file in (folder / "encoder-any.onnx", exp_dir / "controller.safetensors"):
            if not file.is_file():
                raise FileNotFoundError(f"no such file: {file}")
        self.encoder, self.decoder, self.joiner = (
            onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("encoder-any", "decoder", "joiner")
        )
        if "x_lens" not in {one.name for one in self.encoder.get_inputs()}:
            raise ValueError(f"{folder} is for streams; export again without --chunk-size")
        lines = (folder / "tokens.txt").read_text(encoding="utf-8").splitlines()
        self.tokens = [line.rpartition(" ")[0] for line in lines]
        self.controller = load_file(exp_dir / "controller.safetensors")
        self.heads = {file.stem: load_file(file) for file in (exp_dir / "heads").glob("*.safetensors")}

    def recognise(self, features: list[np.ndarray], tasks: list[str]) -> list[list[int]]:
        """The token ids in utterances of features (T, 80), each with the head of its task."""
        for task in tasks:
            if task not in self.heads:
                raise ValueError(f"no head for task '{task}'; there are: {', '.join(sorted(self.heads))}")
        lens = np.array([len(one) for one in features])
        x = np.full((len(features), lens.max(), 80), LOG_EPSILON, dtype=np.float32)
        for row, one in zip(x, features):
            row[: len(one)] = one
        heads = {name: np.stack([self.heads[task][name] for task in tasks]) for name in self.heads[tasks[0]]}
        out, out_lens = self.encoder.run(None, {"x": x, "x_lens": lens, **heads, **self.controller})
        found: list[list[int]] = [[-1, 0] for _ in features]  # the context before the first token
        predicted = self.decoder.run(None, {"y": np.array(found)})[0]
        for frame in range(out.shape[1]):
            logit = self.joiner.run(None, {"encoder_out": out[:, frame], "decoder_out": predicted})[0]
            emitting = np.flatnonzero((logit.argmax(1) > 0) & (frame < out_lens))
            for row in emitting:
                found[row].append(int(logit[row].argmax()))
            if emitting.size:
                predicted = self.decoder.run(None, {"y": np.array([one[-2:] for one in found])})[0]
        return [one[2:] for one in found]

    def text(self, ids: list[int]) -> str:
        """Token ids as words."""
        return "".join(self.tokens[one] for one in ids).replace("▁", " ").strip()


def request(text: str) -> tuple[str, Path]:
    """TASK=FILE."""
    task, equals, file = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not TASK=FILE")
    return task, Path(file)


def features_of(file: Path) -> np.ndarray:
    """Features (T, 80) of an audio file. Raises HraError where it cannot be read."""
    from hra_cli.data.audio import mono_audio
    from hra_cli.data.batches import audio_file_cut
    from hra_cli.data.features import SAMPLING_RATE, fbank

    return np.asarray(fbank().extract(mono_audio(audio_file_cut(file))[0], SAMPLING_RATE))


def main() -> None:
    from hra_cli.errors import HraError

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("exp_dir", type=Path)
    parser.add_argument("requests", nargs="+", type=request, metavar="TASK=FILE")
    options = parser.parse_args()

    try:
        server = Server(options.folder, options.exp_dir)
        features = [features_of(file) for _, file in options.requests]
        found = server.recognise(features, [task for task, _ in options.requests])
    except (HraError, OSError, ValueError, SafetensorError) as error:
        sys.exit(f"serve_mixed_tasks.py: error: {error}")
    for (_, file), ids in zip(options.requests, found):
        print(f"{file}\t{server.text(ids)}")


if __name__ == "__main__":
    main()
