"""What makes a synthetic speaker atypical, and the signal processing that makes it heard.

Nothing here is a model of a disease: these are a few traits of dysarthric, hoarse and unusual voices, so that speakers
differ in what a recogniser gets wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np

# eSpeak NG's voices. Most are English, of which the recogniser knows some; the others have an accent too.
ENGLISH = ("en-us", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-gb-x-gbclan", "en-us-nyc")
OTHERS = ("fr", "pt", "da")
ACCENTED_SHARE = 0.2
# How severe: the traits of a speaker with an accent are slighter.
ACCENTED, UNACCENTED = (0.1, 0.3), (0.5, 0.95)
# Of eSpeak NG's variants those that speak clearly in all of these voices.
VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "croak",
            "Andy", "Annie", "Denis", "Michael", "Reed", "adam", "belinda", "david", "grandma", "grandpa", "linda",
            "pablo", "steph", "victor")  # fmt: skip
# How far a trait goes at its strongest, and what it is in a usual voice.
SLOWEST, USUAL_RATES = 80, (120, 170)  # words a minute; 80 is eSpeak NG's lowest
TRACT = 0.22
PAUSES = 1.1
SLUR = 0.17
BREATH = 0.95
TREMOR = 0.8
TRAITS = ("slow", "tract", "pauses", "slurred", "breathy", "tremulous", "monotone")

WINDOW = 512  # samples, 23 ms
HOP = WINDOW // 4
SLURRED_ABOVE = 500.0  # Hz
HERTZ_A_SECOND = 6000.0  # how far in pitch sounds run into each other, for how long


@dataclass(frozen=True)
class Traits:
    """One speaker.

    voice: eSpeak NG's, with its variant. rate: words a minute. pitch, pitch_range: on eSpeak's scale. tract: formants
    lie so many times as high. pauses: silences a second, within words too. slur: seconds for which sounds above
    SLURRED_ABOVE run into each other. breath: the part of the voice that is noise. tremor: how deep the
    voice's trembling is.
    """

    name: str
    voice: str
    rate: int
    pitch: int
    pitch_range: int
    tract: float
    pauses: float
    slur: float
    breath: float
    tremor: float


def draw_traits(number: int, seed: int) -> Traits:
    """The speaker of a number, whatever others there are: two to four traits, each as strong as the speaker's own
    severity, more or less, and the rest as usual."""
    name = f"voice-{number:03d}"
    random = Random(f"{seed} {name}")
    accented = random.random() < ACCENTED_SHARE
    voice = random.choice(OTHERS if accented else ENGLISH)
    variant = random.choice(VARIANTS)
    severity = random.uniform(*(ACCENTED if accented else UNACCENTED))
    strength = dict.fromkeys(TRAITS, 0.0)
    for trait in random.sample(TRAITS, random.randint(2, 3) if accented else random.randint(3, 4)):
        strength[trait] = min(1.0, severity * random.uniform(0.7, 1.3))
    usual_rate = random.randint(*USUAL_RATES)
    return Traits(
        name=name,
        voice=f"{voice}+{variant}",
        rate=round(usual_rate + strength["slow"] * (SLOWEST - usual_rate)),
        pitch=random.randint(25, 75),
        pitch_range=round(50 * (1 - strength["monotone"])),
        tract=round(1 + random.choice((-1, 1)) * TRACT * strength["tract"], 3),
        pauses=round(PAUSES * strength["pauses"], 3),
        slur=round(SLUR * strength["slurred"], 3),
        breath=round(BREATH * strength["breathy"], 3),
        tremor=round(TREMOR * strength["tremulous"], 3),
    )


def spoken_with(samples: np.ndarray, rate: int, traits: Traits, seed: str) -> np.ndarray:
    """The speech with the traits that eSpeak NG has not given it, of the same sampling rate; floats."""
    generator = np.random.default_rng(list(seed.encode()))
    speech = resampled(samples.astype(np.float64), 1 / traits.tract)
    if traits.slur or traits.breath:
        spectrum = analysed(speech)
        if traits.slur:
            spectrum = slurred(spectrum, rate, traits.slur)
        if traits.breath:
            spectrum = breathy(spectrum, traits.breath, generator)
        speech = resynthesised(spectrum, len(speech))
    if traits.tremor:
        speech = tremulous(speech, rate, traits.tremor, generator)
    if traits.pauses:
        speech = with_pauses(speech, rate, traits.pauses, generator)
    return speech


def resampled(speech: np.ndarray, factor: float) -> np.ndarray:
    """`factor` times as many samples for the same speech, without aliases."""
    length = round(len(speech) * factor)
    spectrum = np.fft.rfft(speech)
    bins = length // 2 + 1
    kept = np.zeros(bins, complex)
    kept[: min(bins, len(spectrum))] = spectrum[:bins]
    return np.fft.irfft(kept, length) * (length / len(speech))


def analysed(speech: np.ndarray) -> np.ndarray:
    """Spectra of overlapping windows, (frames, bins)."""
    padded = np.pad(speech, (WINDOW, WINDOW + HOP))
    starts = range(0, len(padded) - WINDOW, HOP)
    return np.fft.rfft(np.stack([padded[start : start + WINDOW] for start in starts]) * np.hanning(WINDOW + 1)[:-1])


def resynthesised(spectrum: np.ndarray, length: int) -> np.ndarray:
    """The samples that windows make, added where they overlap."""
    window = np.hanning(WINDOW + 1)[:-1]
    frames = np.fft.irfft(spectrum, WINDOW) * window
    added = np.zeros(HOP * len(frames) + WINDOW)
    weight = np.full_like(added, 1e-8)
    for number, frame in enumerate(frames):
        added[number * HOP : number * HOP + WINDOW] += frame
        weight[number * HOP : number * HOP + WINDOW] += window**2
    return (added / weight)[WINDOW : WINDOW + length]


def slurred(spectrum: np.ndarray, rate: int, seconds: float) -> np.ndarray:
    """Sounds above SLURRED_ABOVE run into each other, in time and in pitch: onsets and ends last longer and are
    fainter, formants are less apart, and consonants are imprecise."""
    magnitude = np.abs(spectrum)
    smeared = magnitude
    for axis, width in ((0, seconds * rate / HOP), (1, seconds * HERTZ_A_SECOND * WINDOW / rate)):
        kernel = np.ones(max(1, round(width)))
        smeared = np.apply_along_axis(np.convolve, axis, smeared, kernel / len(kernel), mode="same")
    above = np.fft.rfftfreq(WINDOW, 1 / rate) > SLURRED_ABOVE
    return np.where(above, spectrum / np.maximum(magnitude, 1e-9) * smeared, spectrum)


def breathy(spectrum: np.ndarray, part: float, generator: np.random.Generator) -> np.ndarray:
    """Part of the voice is replaced by noise of the same spectrum, as in whispering."""
    phases = np.exp(2j * np.pi * generator.random(spectrum.shape))
    return (1 - part) * spectrum + part * np.abs(spectrum) * phases


def tremulous(speech: np.ndarray, rate: int, depth: float, generator: np.random.Generator) -> np.ndarray:
    """Loudness and pitch rise and fall 4 to 7 times a second, never quite alike."""
    times = np.arange(len(speech)) / rate
    frequency = generator.uniform(4, 7)
    wobble = np.sin(2 * np.pi * frequency * times + generator.uniform(0, 2 * np.pi) + np.sin(2 * np.pi * 0.7 * times))
    # The place that is read from runs ahead and falls back: pitch changes by up to a quarter.
    shift = wobble * depth * 0.25 / (2 * np.pi * frequency) * rate
    read = np.interp(np.arange(len(speech)) + shift, np.arange(len(speech)), speech)
    return read * (1 - depth * (0.5 + 0.5 * wobble))


def with_pauses(speech: np.ndarray, rate: int, a_second: float, generator: np.random.Generator) -> np.ndarray:
    """Silences of 0.15 to 0.5 s where the speech is quietest, at least 0.2 s from each other."""
    block = rate // 100
    energy = np.add.reduceat(speech**2, np.arange(0, len(speech), block))
    quiet_first = np.argsort(energy[10:-10], kind="stable") + 10
    places: list[int] = []
    for place in quiet_first:
        if len(places) >= max(1, round(a_second * len(speech) / rate)):
            break
        if all(abs(place - other) >= 20 for other in places):
            places.append(int(place))
    parts, start = [], 0
    for place in sorted(places):
        parts += [speech[start : place * block], np.zeros(round(generator.uniform(0.15, 0.5) * rate))]
        start = place * block
    return np.concatenate([*parts, speech[start:]])
